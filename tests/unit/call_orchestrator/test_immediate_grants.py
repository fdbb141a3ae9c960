"""A call that begins to wait is granted a slot without joining the queue, if no other call may use it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, campaign_paused
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue

from call_orchestrator.application.immediate_grants import ImmediateGrants
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.limits import CampaignLimits, Limits
from call_orchestrator.domain.slot_events import Begun, Granted, Waiting
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from contracts import AdmissionGranted, Event

CAMPAIGN = "reminders"


@dataclass
class Replica:
    """A replica whose fold of the log the test advances."""

    max_live: int | None = None
    log: FakeEventLog = field(default_factory=FakeEventLog)

    def __post_init__(self) -> None:
        self.slots = Slots(Limits(max_live=self.max_live, max_live_per_campaign=2, max_unclaimed=100))
        self.campaigns = OpenCampaigns(self.slots, lambda: NOW)
        self.queue = FakeQueue()
        self.grants = ImmediateGrants(self.queue, self.slots, self.campaigns, self.log, lambda: NOW)
        self.slots.apply(Begun(0))
        self.campaigns.update(CampaignStates(0, {}))

    async def join(self, call_id: UUID | None = None) -> UUID:
        """Lets a call begin to wait."""
        call = a_call(call_id=call_id or uuid4(), campaign_id=CAMPAIGN).model_copy(update={"due_at": NOW})
        await self.grants.join(call, due_sequence=len(self.log.stored) + 1, cause=an_envelope())
        return call.call_id

    async def begun(self) -> "Replica":
        """Returns the replica after its first call, which always joins the queue."""
        await self.join()
        self.queue.joined.clear()
        return self

    def fold(self) -> None:
        """Folds the grants of the log."""
        for stored in self.log.stored:
            if isinstance(stored.event, AdmissionGranted) and stored.sequence > self.slots.last_grant_sequence:
                event = stored.event
                self.slots.apply(Granted(stored.sequence, str(event.call_id), event.campaign_id, granted_at=NOW))

    @property
    def granted(self) -> list[UUID]:
        return [event.call_id for event in self.log.events() if isinstance(event, AdmissionGranted)]


def grant(call_id: UUID, campaign_id: str) -> AdmissionGranted:
    return AdmissionGranted(call_id=call_id, campaign_id=campaign_id, attempt=1, due_sequence=1, replay_from_sequence=1)


def waiting(campaign_id: str) -> Waiting:
    return Waiting(call_id="w", campaign_id=campaign_id, attempt=1, due_at=NOW, due_sequence=1, queue_sequence=1)


async def test_the_first_call_of_a_replica_joins_the_queue_and_the_next_ones_are_granted_slots() -> None:
    replica = Replica()
    first = await replica.join()
    ids = []
    for _ in range(2):
        ids.append(await replica.join())
        replica.fold()
    assert (list(replica.queue.joined), replica.granted) == ([first], ids)
    event = replica.log.stored[0].event
    assert isinstance(event, AdmissionGranted)
    assert (event.attempt, event.due_sequence, event.campaign_id) == (1, 1, CAMPAIGN)


async def test_a_call_joins_the_queue_while_the_last_grant_is_not_folded() -> None:
    replica = await Replica().begun()
    granted = await replica.join()
    joined = await replica.join()
    assert (replica.granted, list(replica.queue.joined)) == ([granted], [joined])
    replica.fold()
    assert await replica.join() in replica.granted


async def test_a_call_joins_the_queue_behind_a_call_that_waits_in_an_open_campaign() -> None:
    replica = await Replica().begun()
    replica.slots.update_campaigns({"closed": CampaignLimits(is_open=False)})
    replica.slots.join(waiting("closed"))
    assert await replica.join() in replica.granted, "the other call may not use the slot"
    replica.fold()
    replica.slots.join(waiting("open"))
    assert await replica.join() in replica.queue.joined


async def test_a_grant_of_another_replica_lets_the_call_join_the_queue() -> None:
    replica = await Replica().begun()

    def grant_first(_: Event) -> None:
        replica.log.before_append = lambda _: None
        replica.log.store(grant(uuid4(), "other"))

    replica.log.before_append = grant_first
    call_id = await replica.join()
    assert (list(replica.queue.joined), call_id in replica.granted) == ([call_id], False)
    replica.fold()
    assert await replica.join() in replica.granted


async def test_a_campaign_that_is_paused_at_the_leader_grants_nothing_at_once() -> None:
    replica = await Replica().begun()
    replica.log.store(campaign_paused(CAMPAIGN))
    assert [await replica.join(), await replica.join()] == list(replica.queue.joined)
    assert replica.granted == []


def occupy(replica: Replica, *call_ids: UUID, campaign_id: str = CAMPAIGN) -> None:
    """Grants these calls slots, in the log and in the fold."""
    for call_id in call_ids:
        replica.log.store(grant(call_id, campaign_id))
    replica.fold()


CALL_ID = uuid4()
OBSTACLES: dict[str, Callable[[Replica], None]] = {
    "no slot is free": lambda replica: occupy(replica, uuid4(), uuid4(), uuid4(), campaign_id="other"),
    "the limit of the campaign": lambda replica: occupy(replica, uuid4(), uuid4()),
    "it has a slot already": lambda replica: occupy(replica, CALL_ID),
    "the campaign is closed": lambda replica: replica.slots.update_campaigns({CAMPAIGN: CampaignLimits(is_open=False)}),
    "the campaigns are not read": lambda replica: replica.campaigns.forget(),
    "the log is not read": lambda replica: replica.slots.reset(),
}


@pytest.mark.parametrize("obstacle", OBSTACLES.values(), ids=OBSTACLES)
async def test_a_call_joins_the_queue_if_it_is_not_the_next_one(obstacle: Callable[[Replica], None]) -> None:
    replica = await Replica(max_live=3).begun()
    obstacle(replica)
    before = replica.granted
    await replica.join(CALL_ID)
    assert (list(replica.queue.joined), replica.granted) == ([CALL_ID], before)


async def test_a_call_joins_the_queue_while_the_pace_of_its_campaign_permits_no_grant() -> None:
    replica = await Replica().begun()
    occupy(replica, uuid4())
    replica.slots.update_campaigns({CAMPAIGN: CampaignLimits(is_open=True, calls_per_minute=1)})
    paced = await replica.join()
    assert list(replica.queue.joined) == [paced]
    replica.slots.update_campaigns({CAMPAIGN: CampaignLimits(is_open=True, calls_per_minute=None)})
    assert await replica.join() in replica.granted


async def test_an_entry_of_the_queue_is_removed_from_it() -> None:
    replica = Replica()
    await replica.grants.leave(7)
    assert replica.queue.left == [7]
