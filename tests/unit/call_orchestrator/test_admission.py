"""Granting slots while other replicas grant and campaigns are paused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from tests.builders.calls import NOW, a_call
from tests.builders.events import campaign_paused, campaign_resumed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeFeeds, FakeQueue

from call_orchestrator.application.admission import Admission
from call_orchestrator.domain.slots import Granted, Limits, Slots, Waiting
from chassis.event_log import StoredEvent
from contracts import AdmissionGranted, CallDue, Envelope, Event, call_id_of


class SlowLog(FakeEventLog):
    """A log whose reads of calls wait until the test lets them continue; grants are fed back to the follower."""

    def __init__(self, feeds: FakeFeeds, *events: Event) -> None:
        super().__init__()
        self.feeds = feeds
        for event in events:
            self.store(event)
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.campaign_is_asked = asyncio.Event()

    async def last(self, subject: str) -> StoredEvent | None:
        if subject.startswith("call."):
            self.is_asked.set()
            await self.may_answer.wait()
        if subject.startswith("campaign."):
            self.campaign_is_asked.set()
        return await super().last(subject)

    def store(self, event: Event, event_id: str | None = None, cause: Envelope | None = None) -> StoredEvent:
        stored = super().store(event, event_id, cause)
        if isinstance(event, AdmissionGranted):
            self.feeds.slot_batches.put_nowait([Granted(stored.sequence, str(event.call_id), event.campaign_id)])
        return stored

    @property
    def granted(self) -> list[UUID]:
        return [event.call_id for event in self.events() if isinstance(event, AdmissionGranted)]


class Replica:
    """One replica with two waiting calls, of which it may grant one."""

    def __init__(self, *, knows_campaigns: bool = True) -> None:
        self.feeds = FakeFeeds()
        self.ours, self.theirs = call_id_of("ours"), call_id_of("theirs")
        due = [CallDue(call=a_call(request_id=name, is_queued=True), occurred_at=NOW) for name in ("ours", "theirs")]
        self.log = SlowLog(self.feeds, *due)
        self.queue = FakeQueue()
        self.slots = Slots(Limits(max_live=1, max_live_per_campaign=None, max_unclaimed=10))
        self.feeds.waiting_batches.put_nowait([waiting(self.ours, due_sequence=1)])
        if knows_campaigns:
            self.feeds.paused_batches.put_nowait({})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        admission = Admission(self.slots, self.log, self.queue, self.feeds, now=lambda: NOW)
        running = asyncio.create_task(admission.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def waiting(call_id: UUID, *, due_sequence: int) -> Waiting:
    return Waiting(
        call_id=str(call_id),
        campaign_id="reminders",
        attempt=1,
        due_at=NOW,
        due_sequence=due_sequence,
        queue_sequence=due_sequence,
    )


def grant(call_id: UUID, due_sequence: int) -> AdmissionGranted:
    return AdmissionGranted(
        call_id=call_id, campaign_id="reminders", attempt=1, due_sequence=due_sequence, replay_from_sequence=1
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def settle() -> None:
    """Runs the tasks until all of them wait for an event."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_grant_fails_if_another_replica_granted_after_the_choice() -> None:
    replica = Replica()
    replica.log.may_answer.clear()
    async with replica.running():
        await replica.log.is_asked.wait()
        other_grant = replica.log.store(grant(replica.theirs, 2))  # another replica takes the only slot meanwhile
        await until(lambda: replica.slots.last_grant_sequence == other_grant.sequence)
        replica.log.may_answer.set()
        await settle()
        assert replica.log.granted == [replica.theirs]


async def test_nothing_is_granted_before_the_paused_campaigns_are_known() -> None:
    replica = Replica(knows_campaigns=False)
    async with replica.running():
        await settle()
        assert list(replica.slots.waiting) == [str(replica.ours)]
        assert not replica.log.is_asked.is_set()
        replica.feeds.paused_batches.put_nowait({"reminders": True})
        await settle()
        assert replica.log.granted == []
        replica.feeds.paused_batches.put_nowait({"reminders": False})
        await settle()
        assert replica.log.granted == [replica.ours]


async def test_a_replica_that_has_not_received_a_pause_reads_it_from_the_log_before_it_grants() -> None:
    replica = Replica()
    replica.log.store(campaign_paused("reminders"))
    async with replica.running():
        await replica.log.campaign_is_asked.wait()
        await settle()
        assert replica.log.granted == []
        replica.log.store(campaign_resumed("reminders"))
        await until(lambda: bool(replica.log.granted))
        assert replica.log.granted == [replica.ours]


async def test_a_call_that_no_longer_waits_leaves_the_queue_and_gets_no_slot() -> None:
    replica = Replica()
    replica.log.store(CallDue(call=a_call(request_id="ours", is_queued=True), occurred_at=NOW))
    async with replica.running():
        await until(lambda: replica.queue.left == [1])
        assert replica.log.granted == []
        assert replica.slots.waiting == {}


async def test_a_granted_call_leaves_the_queue() -> None:
    replica = Replica()
    async with replica.running():
        await until(lambda: replica.queue.left == [1])
        assert replica.log.granted == [replica.ours]


async def test_a_replica_forgets_the_slots_that_it_knew_before_its_reading_was_interrupted() -> None:
    replica = Replica()
    async with replica.running():
        replica.feeds.slot_batches.put_nowait([Granted(7, str(replica.theirs), "reminders")])
        await until(lambda: str(replica.theirs) in replica.slots.occupied)
        replica.feeds.slot_batches.put_nowait(RuntimeError("interrupted"))
        await until(lambda: not replica.slots.occupied)
        assert replica.slots.last_grant_sequence == 0, "it must read the last grant before it can grant"


async def test_a_replica_forgets_the_paused_campaigns_when_their_reading_is_interrupted() -> None:
    replica = Replica()
    async with replica.running():
        await until(lambda: replica.slots.paused is not None)
        replica.feeds.paused_batches.put_nowait(RuntimeError("interrupted"))
        await until(lambda: replica.slots.paused is None)
