"""Which campaigns are granted slots, at each of their events and at the begin and the end of their periods."""

import asyncio
from datetime import datetime, timedelta

from tests.builders.calls import NOW
from tests.builders.events import campaign_paused

from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import StoredCampaign
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from contracts import Campaign, CampaignTerms

SECOND = timedelta(seconds=1)


class Replica:
    """Campaigns that a replica knows, and a clock that the test sets."""

    def __init__(self) -> None:
        self.slots = Slots(Limits(max_live=None, max_live_per_campaign=None, max_unclaimed=10))
        self.time = NOW
        self.campaigns = OpenCampaigns(self.slots, self.now)

    def now(self) -> datetime:
        return self.time

    def receive(self, sequence: int, *campaigns: Campaign) -> None:
        self.campaigns.update(CampaignStates(sequence, {one.campaign_id: one for one in campaigns}))


def running(campaign_id: str = "a", **terms: object) -> Campaign:
    return Campaign(campaign_id=campaign_id).created(NOW, CampaignTerms.model_validate(terms)).started(NOW)


def test_drafts_paused_and_finished_campaigns_are_closed() -> None:
    replica = Replica()
    draft = Campaign(campaign_id="draft").created(NOW, CampaignTerms())
    replica.receive(4, draft, running("runs"), running("finished").finished(NOW), campaign_paused("paused").campaign)
    assert replica.slots.closed == {"draft", "finished", "paused"}
    replica.receive(5, draft.started(NOW))
    assert replica.slots.closed == {"finished", "paused"}


async def test_a_campaign_opens_and_closes_at_the_instants_of_its_period() -> None:
    replica = Replica()
    replica.receive(1, running(starts_at=NOW + SECOND / 50, ends_at=NOW + 100 * SECOND))
    assert replica.slots.closed == {"a"}
    waiting = asyncio.create_task(replica.campaigns.wait_for_period())
    await asyncio.sleep(0)
    replica.time = NOW + SECOND
    await waiting
    assert replica.slots.closed == set()
    waiting = asyncio.create_task(replica.campaigns.wait_for_period())
    await asyncio.sleep(0)
    replica.time = NOW + 100 * SECOND
    replica.receive(2, running("another", ends_at=NOW + 101 * SECOND))
    await waiting
    assert replica.slots.closed == {"a"}


async def test_without_a_period_a_replica_waits_for_the_next_event() -> None:
    replica = Replica()
    replica.receive(1, running())
    waiting = asyncio.create_task(replica.campaigns.wait_for_period())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    replica.receive(2, running("another"))
    await waiting


def test_a_newer_state_that_was_read_at_the_leader_is_noted_once() -> None:
    replica = Replica()
    replica.receive(5, running())
    lowered = StoredCampaign(running(max_concurrent_calls=1), 7)
    assert not replica.campaigns.note(StoredCampaign(running(), 5))
    assert [replica.campaigns.note(lowered), replica.campaigns.note(lowered)] == [True, False]
    assert [replica.campaigns.note(StoredCampaign(running().finished(NOW), 8)) for _ in range(2)] == [True, False]
    assert replica.slots.closed == {"a"}
    assert not replica.campaigns.note(StoredCampaign(Campaign(campaign_id="never-paused"), 9))


def test_the_campaigns_are_read_from_the_first_update_until_they_are_forgotten() -> None:
    replica = Replica()
    is_read = [replica.campaigns.is_read]
    replica.receive(0)
    is_read.append(replica.campaigns.is_read)
    replica.receive(1, running(), running("finished").finished(NOW))
    assert [replica.campaigns.is_finished(name) for name in ("a", "finished", "unknown")] == [False, True, False]
    replica.campaigns.forget()
    assert [*is_read, replica.campaigns.is_read] == [False, True, False]
    assert replica.slots.closed is None
