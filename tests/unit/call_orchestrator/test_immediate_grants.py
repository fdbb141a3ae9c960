"""A call that begins to wait is granted a slot without joining the queue, if no other call may use it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, campaign_paused
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeTimers

from call_orchestrator.application import immediate_grants
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.immediate_grants import ImmediateGrants
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import StoredCall
from call_orchestrator.domain.limits import CampaignLimits, Limits
from call_orchestrator.domain.slot_events import Begun, Granted, Waiting
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from contracts import AdmissionGranted, CallDue, Event

CAMPAIGN = "reminders"
DEADLINE_AT = NOW + timedelta(hours=1)


@dataclass
class Replica:
    """A replica whose fold of the log the test advances."""

    max_live: int | None = None
    max_wait_seconds: float = 0
    log: FakeEventLog = field(default_factory=FakeEventLog)

    def __post_init__(self) -> None:
        self.slots = Slots(Limits(max_live=self.max_live, max_live_per_campaign=2, max_unclaimed=100))
        self.campaigns = OpenCampaigns(self.slots, lambda: NOW)
        self.queue, self.timers = FakeQueue(), FakeTimers()
        self.grants = ImmediateGrants(
            self.slots, self.campaigns, self.log, lambda: NOW, max_wait_seconds=self.max_wait_seconds
        )
        self.effects = Effects(self.timers, self.queue, grants=self.grants)
        self.slots.apply(Begun(0))
        self.campaigns.update(CampaignStates(0, {}))

    async def join(self, call_id: UUID | None = None, *, is_new: bool = True) -> UUID:
        """Lets a call begin to wait: a new one, or one whose time has come."""
        update = {"due_at": NOW, "is_queued": True, "deadline_at": DEADLINE_AT}
        call = a_call(call_id=call_id or uuid4(), campaign_id=CAMPAIGN).model_copy(update=update)
        event = call_created(call) if is_new else CallDue(call=call, occurred_at=NOW)
        stored = StoredCall(event, len(self.log.stored) + 1, an_envelope())
        await self.effects.apply(stored, an_envelope())
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
        self.grants.note_change()

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


async def test_calls_wait_for_the_fold_of_the_grants_before_them_and_are_granted_slots_in_their_order() -> None:
    replica = await Replica(max_wait_seconds=60).begun()
    first = await replica.join()
    ids = [uuid4(), uuid4()]
    replica.slots.limits = Limits(max_live=None, max_live_per_campaign=10, max_unclaimed=100)
    joining = [asyncio.create_task(replica.join(call_id)) for call_id in ids]
    for granted in ([first], [first, ids[0]], [first, *ids]):
        for _ in range(10):
            await asyncio.sleep(0)
        assert replica.granted == granted
        replica.fold()
    await asyncio.gather(*joining)
    assert not replica.queue.joined


async def test_a_call_that_waits_for_a_fold_joins_the_queue_if_the_fold_leaves_no_slot_for_it() -> None:
    replica = await Replica(max_live=1, max_wait_seconds=60).begun()
    granted = await replica.join()
    joining = asyncio.create_task(replica.join())
    await asyncio.sleep(0)
    replica.fold()
    assert ([await joining], replica.granted) == (list(replica.queue.joined), [granted])


async def test_a_call_waits_until_those_in_the_queue_have_their_slots() -> None:
    replica = await Replica(max_wait_seconds=60).begun()
    first = uuid4()
    replica.slots.join(replace(waiting("other"), call_id=str(first), due_sequence=0))
    joining = asyncio.create_task(replica.join())
    await asyncio.sleep(0)
    assert replica.granted == []
    occupy(replica, first, campaign_id="other")
    assert [first, await joining] == replica.granted
    assert not replica.queue.joined


async def test_only_so_many_calls_wait_for_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(immediate_grants, "MAX_WAITING", 1)
    replica = await Replica(max_wait_seconds=60).begun()
    await replica.join()
    joining = asyncio.create_task(replica.join())
    await asyncio.sleep(0)
    assert await replica.join() in replica.queue.joined
    replica.fold()
    assert await joining in replica.granted


async def test_a_call_joins_a_long_queue_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(immediate_grants, "MAX_WAITING", 2)
    replica = await Replica(max_wait_seconds=60).begun()
    for name in ("a", "b"):
        replica.slots.join(replace(waiting("other"), call_id=name))
    assert await replica.join() in replica.queue.joined
    replica.slots.update_campaigns({"other": CampaignLimits(is_open=False)})
    assert await replica.join() in replica.granted, "no call in the queue may use the slot"


async def test_a_grant_whose_append_fails_is_not_awaited() -> None:
    replica = await Replica(max_wait_seconds=60).begun()

    def fail(_: Event) -> None:
        replica.log.before_append = lambda _: None
        raise TimeoutError

    replica.log.before_append = fail
    with pytest.raises(TimeoutError):
        await replica.join()
    assert await replica.join() in replica.granted


async def test_a_new_call_that_is_granted_a_slot_at_once_has_no_timer_and_every_other_call_has_one() -> None:
    replica = await Replica().begun()
    assert len(replica.timers.deadlines) == 1, "the first call of the replica joined the queue"
    new = await replica.join()
    replica.fold()
    due = await replica.join(is_new=False)
    assert replica.granted == [new, due]
    joined = await replica.join()
    assert list(replica.queue.joined) == [joined]
    assert (new in replica.timers.deadlines, replica.timers.deadlines[due]) == (False, DEADLINE_AT)
    assert replica.timers.deadlines[joined] == DEADLINE_AT


async def test_a_call_joins_the_queue_if_the_last_grant_is_not_folded_in_time() -> None:
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
