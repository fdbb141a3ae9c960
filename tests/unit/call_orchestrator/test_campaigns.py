"""Commands on campaigns, each delivered once or several times."""

from datetime import datetime, timedelta

import pytest
from tests.builders.calls import NOW
from tests.builders.events import an_envelope, campaign_paused, campaign_resumed
from tests.fakes.event_log import FakeEventLog

from call_orchestrator.application.campaigns import CampaignService
from chassis.event_log import Conflict
from contracts import (
    Campaign,
    CampaignChangeRequested,
    CampaignCommand,
    CampaignCreateRequested,
    CampaignDecision,
    CampaignFinishRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
    CommandOutcome,
    Event,
    RequestedTerms,
)

PAUSE = CampaignPauseRequested(campaign_id="a", reason="lunch")
RESUME = CampaignResumeRequested(campaign_id="a")
TERMS = RequestedTerms(name="Spring", max_concurrent_calls=2, ends_at=NOW + timedelta(days=1))
CREATE = CampaignCreateRequested(campaign_id="a", terms=TERMS)
CHANGE = CampaignChangeRequested(campaign_id="a", terms=RequestedTerms(max_concurrent_calls=1))
START = CampaignStartRequested(campaign_id="a")
FINISH = CampaignFinishRequested(campaign_id="a")


async def handle(log: FakeEventLog, *commands: CampaignCommand) -> list[bool]:
    return [outcome.accepted for outcome in await outcomes(log, *commands)]


async def outcomes(log: FakeEventLog, *commands: CampaignCommand, now: datetime = NOW) -> list[CommandOutcome]:
    service = CampaignService(log, now=lambda: now)
    return [await service.handle(command, an_envelope()) for command in commands]


def names(log: FakeEventLog) -> list[str]:
    return [event.event_name.removeprefix("campaign.") for event in log.events()]


def last_state(log: FakeEventLog) -> Campaign:
    event = log.events()[-1]
    assert isinstance(event, CampaignDecision)
    return event.campaign


@pytest.mark.parametrize(("caller_id", "is_accepted"), [("+12125550101", True), ("+12125550102", False)])
async def test_a_campaign_calls_only_from_a_number_of_the_installation(caller_id: str, is_accepted: bool) -> None:
    log = FakeEventLog()
    service = CampaignService(log, lambda: NOW, frozenset({"+12125550101"}))
    terms = RequestedTerms(caller_id=caller_id)
    created = await service.handle(CampaignCreateRequested(campaign_id="a", terms=terms), an_envelope())
    await service.handle(CREATE, an_envelope())
    changed = await service.handle(CampaignChangeRequested(campaign_id="a", terms=terms), an_envelope())
    assert (created.accepted, changed.accepted) == (is_accepted, is_accepted)
    refused = "caller_id: this installation may not call from this number; add it to CALLER_IDS, or leave it out"
    assert changed.reasons == (() if is_accepted else (refused,))
    assert (last_state(log).terms or RequestedTerms()).caller_id == (caller_id if is_accepted else None)


@pytest.mark.parametrize(("number", "country"), [("+12125550145", None), ("+34911234567", "ES")])
async def test_calls_are_transferred_only_to_countries_that_are_called(number: str, country: str | None) -> None:
    destination = {"name": "sales", "description": "sells", "phone_number": number}
    terms = RequestedTerms.model_validate({"tools": {"transfers": [destination]}})
    service = CampaignService(FakeEventLog(), lambda: NOW, allowed_countries=frozenset({"US"}))
    created = await service.handle(CampaignCreateRequested(campaign_id="a", terms=terms), an_envelope())
    refused = "tools.transfers: sales has a number of the country ES; allowed are US (ALLOWED_COUNTRIES)"
    assert created.reasons == ((refused,) if country else ())


async def test_a_pause_carries_its_instant_and_its_reason() -> None:
    log = FakeEventLog()
    assert await handle(log, PAUSE, RESUME) == [True, True]
    assert log.events() == [campaign_paused("a", reason="lunch", at=NOW), campaign_resumed("a", at=NOW)]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_each_command_may_be_delivered_again_before_the_next(times: int) -> None:
    log = FakeEventLog()
    commands = [command for command in (PAUSE, RESUME, PAUSE) for _ in range(times)]
    assert all(await handle(log, *commands))
    assert [event.event_name for event in log.events()] == ["campaign.paused", "campaign.resumed", "campaign.paused"]


async def test_a_campaign_that_was_never_paused_has_nothing_to_resume() -> None:
    log = FakeEventLog()
    assert await handle(log, RESUME) == [True]
    assert log.events() == []


async def test_a_command_that_meets_a_conflict_is_not_decided_again() -> None:
    log = FakeEventLog()

    def append_first(_: Event) -> None:
        log.store(campaign_paused("a", reason="faster"))

    log.before_append = append_first
    with pytest.raises(Conflict):
        await handle(log, PAUSE)
    assert log.events() == [campaign_paused("a", reason="faster")]


async def test_a_campaign_is_created_changed_started_and_finished() -> None:
    log = FakeEventLog()
    assert await handle(log, CREATE, CHANGE, START, FINISH) == [True] * 4
    assert names(log) == ["created", "changed", "started", "finished"]
    changed = CHANGE.terms.stored()
    assert last_state(log) == Campaign(campaign_id="a", terms=changed, created_at=NOW, started_at=NOW, finished_at=NOW)


async def test_a_change_of_another_version_is_refused_and_one_that_is_delivered_again_is_not() -> None:
    log = FakeEventLog()
    await handle(log, CREATE)
    created = (await log.read(["campaign.*.a"]))[-1].sequence
    mine = CHANGE.model_copy(update={"campaign_version": created})
    theirs = mine.model_copy(update={"terms": RequestedTerms(max_concurrent_calls=7)})

    found = await outcomes(log, mine, mine, theirs)

    assert [one.accepted for one in found] == [True, True, False]
    assert found[2].reasons == ("version: the campaign has changed meanwhile; read it again, and send the change anew",)
    assert names(log) == ["created", "changed"]
    assert last_state(log).terms == CHANGE.terms.stored()


@pytest.mark.parametrize("times", [2, 3])
async def test_a_command_that_is_delivered_again_changes_nothing(times: int) -> None:
    log = FakeEventLog()
    commands = [command for command in (CREATE, CHANGE, START, FINISH) for _ in range(times)]
    assert all(await handle(log, *commands))
    assert names(log) == ["created", "changed", "started", "finished"]


@pytest.mark.parametrize("command", [CHANGE, START, FINISH])
async def test_a_campaign_that_was_never_created_is_not_changed_started_or_finished(command: CampaignCommand) -> None:
    log = FakeEventLog()
    [outcome] = await outcomes(log, command)
    assert (outcome.accepted, log.events()) == (False, [])
    assert outcome.reasons == ("campaign_id: no campaign was created with this id; create it first",)


@pytest.mark.parametrize("command", [CREATE, CHANGE, START, PAUSE, RESUME])
async def test_a_finished_campaign_stays_finished(command: CampaignCommand) -> None:
    log = FakeEventLog()
    await handle(log, CREATE, FINISH)
    [outcome] = await outcomes(log, command)
    assert outcome.reasons == ("campaign_id: the campaign is finished; create another one",)
    assert names(log) == ["created", "finished"]


async def test_a_campaign_is_not_created_again_with_other_terms() -> None:
    log = FakeEventLog()
    other = CREATE.model_copy(update={"terms": CHANGE.terms})
    assert await handle(log, CREATE, other) == [True, False]
    assert names(log) == ["created"]


async def test_a_campaign_whose_period_is_over_is_not_started() -> None:
    log = FakeEventLog()
    await handle(log, CREATE)
    [outcome] = await outcomes(log, START, now=NOW + timedelta(days=1))
    assert outcome.reasons == ("ends_at: the period of the campaign is over; change it first",)
    assert names(log) == ["created"]


async def test_a_pause_stays_when_its_campaign_is_created_and_ends_with_the_campaign() -> None:
    log = FakeEventLog()
    await handle(log, PAUSE, CREATE, START)
    assert (last_state(log).is_paused, last_state(log).reason, last_state(log).status) == (True, "lunch", "paused")
    await handle(log, FINISH)
    assert (last_state(log).is_paused, last_state(log).reason, last_state(log).status) == (False, None, "finished")
