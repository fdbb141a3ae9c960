"""What becomes of commands on campaigns, whatever comes twice."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
from tests.builders.events import campaign_paused, campaign_resumed

from call_orchestrator.application.campaigns import CampaignService, Command
from call_orchestrator.ports import StoredCampaign
from centralita.docs.state_machine import NOW
from chassis.event_log import Conflict
from contracts import Campaign, CampaignDecision, CampaignPauseRequested, CampaignResumeRequested, Envelope

PAUSE = CampaignPauseRequested(campaign_id="a", reason="lunch")
RESUME = CampaignResumeRequested(campaign_id="a")
CAUSE = Envelope.read({}, subject="test", id="asked", time=NOW)


class FakeCampaigns:
    """The port `CampaignLog` of one campaign; `late`: at the first append, another replica has been faster."""

    def __init__(self, *, late: bool = False) -> None:
        self.events: list[CampaignDecision] = []
        self.late = late

    async def load(self, campaign_id: str) -> StoredCampaign:
        campaign = self.events[-1].campaign if self.events else Campaign(campaign_id=campaign_id)
        return StoredCampaign(campaign, len(self.events))

    async def append(self, event: CampaignDecision, *, after: int, cause: Envelope) -> None:
        if self.late:
            self.late = False
            raise Conflict
        self.events.append(event)

    def standings(self) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, bool]]]:
        raise AssertionError("nobody follows")


async def told(log: FakeCampaigns, *commands: Command) -> list[bool]:
    service = CampaignService(log, now=lambda: NOW)
    return [(await service.ask(command, CAUSE)).accepted for command in commands]


async def test_a_pause_says_since_when_and_why() -> None:
    log = FakeCampaigns()
    assert await told(log, PAUSE, RESUME) == [True, True]
    assert log.events == [
        campaign_paused("a", reason="lunch", at=NOW),
        campaign_resumed("a", at=NOW),
    ]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_each_command_may_come_again_before_the_next(times: int) -> None:
    log = FakeCampaigns()
    commands = [command for command in (PAUSE, RESUME, PAUSE) for _ in range(times)]
    assert all(await told(log, *commands))
    assert [fact.event_name for fact in log.events] == ["campaign.paused", "campaign.resumed", "campaign.paused"]


async def test_a_campaign_that_was_never_paused_has_nothing_to_resume() -> None:
    log = FakeCampaigns()
    assert await told(log, RESUME) == [True]
    assert log.events == []


async def test_who_loses_the_race_does_not_decide_again() -> None:
    log = FakeCampaigns(late=True)
    with pytest.raises(Conflict):
        await told(log, PAUSE)
    assert log.events == []
