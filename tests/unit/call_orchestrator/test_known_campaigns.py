"""Calls have the terms of their campaign also while the replica does not know the campaign."""

from datetime import timedelta
from typing import Any

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, campaign_paused, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application import known_campaigns
from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.call_terms import NO_TERMS, Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.known_campaigns import UNDECLARED, KnownCampaign, KnownCampaigns
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from chassis.event_log import StoredEvent, UnreadableEvent
from contracts import (
    Call,
    CallCancelRequested,
    CallRequested,
    CallStatus,
    Campaign,
    CampaignCreated,
    CampaignDecision,
    CampaignFinished,
    CampaignTerms,
    CommandOutcome,
    TelephonyStatus,
    TelephonyStatusReported,
    call_id_of,
)
from contracts.filters import campaign_state_filter

TERMS = CampaignTerms(script_template="Hello.", max_attempts=2, retention_days=3)
POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=5,
    retry_delay=timedelta(minutes=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)
CALL_ID = a_call().call_id
SPRING = Campaign(campaign_id="spring").created(NOW, TERMS).started(NOW)


class Log(FakeEventLog):
    """A log in which the last event of a campaign may be of a newer build."""

    is_unreadable = False

    async def last(self, subject: str) -> StoredEvent | None:
        if self.is_unreadable and subject == campaign_state_filter("spring"):
            raise UnreadableEvent("CALLS", 1, subject, NOW, ["terms: of a newer build"])
        return await super().last(subject)


class Replica:
    """A replica, and which campaigns it has received."""

    def __init__(self, *campaigns: Campaign) -> None:
        self.log = Log()
        for campaign in campaigns:
            self.log.store(_event_of(campaign))
        slots = Slots(Limits(max_live=None, max_live_per_campaign=None, max_unclaimed=10))
        self.followed = OpenCampaigns(slots, lambda: NOW)
        self.known = KnownCampaigns(self.log, self.followed)
        effects = Effects(FakeTimers(), FakeQueue())
        requests: Any = FakeRequests()
        self.calls = CallService(self.log, requests, effects, POLICY, lambda: NOW, campaigns=self.followed)

    def receive(self) -> None:
        """Reads all campaigns that the log has now."""
        events = [stored.event for stored in self.log.stored if isinstance(stored.event, CampaignDecision)]
        states = {event.campaign_id: event.campaign for event in events}
        self.followed.update(CampaignStates(len(self.log.stored), states))

    async def request(self, number: int = 1, **given: object) -> CommandOutcome:
        fields = {"campaign_id": "spring", "script_template": "Own words.", **given}
        return await self.calls.handle(
            call_input(_request(number, **fields), an_envelope(f"r-{number}"), sequence=number)
        )

    def call(self, number: int = 1) -> Call:
        calls = [one for one in self.log.events() if getattr(one, "call_id", None) == call_id_of(f"r-{number}")]
        call: Call = calls[-1].call  # type: ignore[attr-defined]
        return call

    @property
    def campaign_reads(self) -> int:
        return self.log.reads.count(campaign_state_filter("spring"))


def _event_of(campaign: Campaign) -> CampaignDecision:
    kind = CampaignFinished if campaign.finished_at else CampaignCreated
    return kind(campaign=campaign, occurred_at=NOW)


def _request(number: int, **fields: object) -> CallRequested:
    given = {"request_id": f"r-{number}", "contact_id": "c-1", "phone_number": "+12125550123", "language": "en"}
    return CallRequested.model_validate({**given, **fields})


async def test_a_call_that_is_created_before_the_campaigns_are_read_has_the_terms_of_its_campaign() -> None:
    replica = Replica(SPRING)
    assert (await replica.request()).accepted
    call = replica.call()
    assert (call.max_attempts, call.max_retries, call.retention_days) == (2, 1, 3)
    refused = await replica.request(2, max_retries=2)
    assert "its campaign permits 2 attempts" in refused.reasons[0]


async def test_after_an_interruption_the_terms_are_read_at_the_leader_until_the_campaigns_are_read_again() -> None:
    replica = Replica(SPRING)
    replica.receive()
    await replica.request(1)
    assert (replica.campaign_reads, replica.call(1).max_attempts) == (0, 2)
    replica.followed.forget()
    await replica.request(2)
    assert (replica.campaign_reads, replica.call(2).max_attempts) == (1, 2)
    replica.receive()
    await replica.request(3)
    assert (replica.campaign_reads, replica.call(3).max_attempts) == (1, 2)


async def test_a_campaign_whose_creation_was_acknowledged_but_not_received_is_read_once() -> None:
    replica = Replica()
    replica.receive()
    replica.log.store(_event_of(SPRING))
    await replica.request(1)
    await replica.request(2)
    assert [replica.call(number).max_attempts for number in (1, 2)] == [2, 2]
    assert replica.campaign_reads == 1, "the replica notes what it has read"


async def test_a_campaign_without_terms_is_read_at_its_first_call_only() -> None:
    replica = Replica()
    replica.receive()
    for number in range(5):
        assert (await replica.request(number)).accepted
    assert replica.campaign_reads == 1
    replica.log.store(campaign_paused("spring"))
    replica.receive()
    await replica.request(5)
    assert replica.campaign_reads == 1, "a pause gives it no terms"
    replica.log.store(_event_of(SPRING))
    replica.receive()
    await replica.request(6)
    assert (replica.campaign_reads, replica.call(6).max_attempts) == (1, 2)


async def test_only_the_newest_campaigns_without_terms_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_campaigns, "MAX_UNDECLARED", 2)
    replica = Replica()
    replica.receive()
    for number, campaign_id in enumerate(("spring", "b", "c", "c", "spring")):
        await replica.request(number, campaign_id=campaign_id)
    assert replica.campaign_reads == 2
    assert replica.log.reads.count(campaign_state_filter("c")) == 1


@pytest.mark.parametrize("is_received", [False, True])
async def test_a_request_of_a_finished_campaign_is_refused(*, is_received: bool) -> None:
    replica = Replica(SPRING.finished(NOW))
    if is_received:
        replica.receive()
    outcome = await replica.request()
    assert outcome.reasons == ("campaign_id: the campaign spring is finished; create another one",)
    outcome = await replica.request(2, script_template=None)
    assert outcome.reasons == ("campaign_id: the campaign spring is finished; create another one",)


@pytest.mark.parametrize("is_received", [False, True])
async def test_an_attempt_that_ends_after_the_finish_of_its_campaign_is_not_repeated(*, is_received: bool) -> None:
    replica = Replica(SPRING.finished(NOW))
    if is_received:
        replica.receive()
    dialing = a_call(CallStatus.DIALING, campaign_id="spring", max_retries=3)
    replica.log.store(call_created(a_call(campaign_id="spring", max_retries=3)))
    replica.log.store(status_changed(dialing))
    report = TelephonyStatusReported(call_id=CALL_ID, attempt=1, provider_call_id="CA1", status=TelephonyStatus.BUSY)
    outcome = await replica.calls.handle(call_input(report, an_envelope("report")))
    assert outcome.status is CallStatus.BUSY


async def test_a_campaign_of_a_newer_build_keeps_new_calls_waiting_but_not_what_happens_to_its_calls() -> None:
    replica = Replica(SPRING)
    replica.log.store(call_created(a_call(campaign_id="spring")))
    replica.log.is_unreadable = True
    with pytest.raises(UnreadableEvent):
        await replica.request()
    cancel = CallCancelRequested(call_id=CALL_ID)
    outcome = await replica.calls.handle_command(StoredEvent(cancel, an_envelope("cancel"), 9, stored_at=NOW))
    assert (outcome.accepted, outcome.status) == (True, CallStatus.CANCELED)
    assert await replica.known.of_call(a_call(campaign_id="spring")) == UNDECLARED


async def test_a_call_without_a_script_has_it_from_the_leader_if_the_replica_knows_none() -> None:
    replica = Replica(Campaign(campaign_id="spring").created(NOW, CampaignTerms(max_attempts=1)))
    replica.receive()
    replica.log.store(_event_of(SPRING))
    assert (await replica.request(script_template=None)).accepted
    assert replica.call().script_template == "Hello."


async def test_without_campaigns_to_follow_all_calls_are_of_campaigns_without_terms() -> None:
    known = KnownCampaigns(FakeEventLog.of(_event_of(SPRING)), None)
    request = _request(1, campaign_id="spring", script_template="Own words.")
    assert await known.of_new_call(request) == await known.of_call(a_call()) == KnownCampaign(NO_TERMS)
