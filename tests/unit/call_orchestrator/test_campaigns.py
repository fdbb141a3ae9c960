"""Commands on campaigns, each delivered once or several times."""

import pytest
from tests.builders.calls import NOW
from tests.builders.events import an_envelope, campaign_paused, campaign_resumed
from tests.fakes.event_log import FakeEventLog

from call_orchestrator.application.campaigns import CampaignCommand, CampaignService
from chassis.event_log import Conflict
from contracts import CampaignPauseRequested, CampaignResumeRequested, Event

PAUSE = CampaignPauseRequested(campaign_id="a", reason="lunch")
RESUME = CampaignResumeRequested(campaign_id="a")


async def handle(log: FakeEventLog, *commands: CampaignCommand) -> list[bool]:
    service = CampaignService(log, now=lambda: NOW)
    return [(await service.handle(command, an_envelope())).accepted for command in commands]


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
