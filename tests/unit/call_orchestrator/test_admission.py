"""Granting slots while other replicas grant and campaigns are paused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.builders.calls import NOW, a_call
from tests.builders.events import campaign_paused, campaign_resumed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeFeeds, FakeQueue

from call_orchestrator.application.admission import Admission
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slot_events import Begun, Decided, Granted, Waiting
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from chassis.event_log import StoredEvent, UnreadableEvent
from chassis.live import Incomplete
from chassis.stream_reader import StreamRecreated
from contracts import (
    AdmissionGranted,
    CallDue,
    Campaign,
    CampaignStarted,
    CampaignTerms,
    Envelope,
    Event,
    call_id_of,
)

PAUSED = {"reminders": campaign_paused("reminders").campaign}
RESUMED = {"reminders": campaign_resumed("reminders").campaign}


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
        self.max_lag_seconds = 0.0
        self.time = NOW
        self.slots = Slots(Limits(max_live=1, max_live_per_campaign=None, max_unclaimed=10))
        self.feeds.slot_batches.put_nowait([Begun(0)])
        self.feeds.waiting_batches.put_nowait([waiting(self.ours, due_sequence=1)])
        if knows_campaigns:
            self.feeds.campaign_batches.put_nowait(CampaignStates(0, {}))

    def now(self) -> datetime:
        return self.time

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        campaigns = OpenCampaigns(self.slots, self.now)
        admission = Admission(
            self.slots,
            campaigns,
            self.log,
            self.queue,
            self.feeds,
            now=self.now,
            max_lag_seconds=self.max_lag_seconds,
        )
        async with admission.running():
            yield


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
    async with asyncio.timeout(60):
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
        replica.feeds.campaign_batches.put_nowait(CampaignStates(5, PAUSED))
        await settle()
        assert replica.log.granted == []
        replica.feeds.campaign_batches.put_nowait(CampaignStates(6, RESUMED))
        await settle()
        assert replica.log.granted == [replica.ours]


async def test_a_replica_that_has_not_received_a_pause_reads_it_from_the_log_before_it_grants() -> None:
    replica = Replica()
    replica.log.store(campaign_paused("reminders"))
    async with replica.running():
        await replica.log.campaign_is_asked.wait()
        await settle()
        assert replica.log.granted == []
        resumed = replica.log.store(campaign_resumed("reminders"))
        replica.feeds.campaign_batches.put_nowait(CampaignStates(resumed.sequence, RESUMED))
        await until(lambda: bool(replica.log.granted))
        assert replica.log.granted == [replica.ours]


async def test_a_pause_that_a_replica_has_not_received_stops_no_other_campaign() -> None:
    replica = Replica()
    replica.log.store(campaign_paused("reminders"))
    another = replace(waiting(replica.theirs, due_sequence=2), campaign_id="another", due_at=NOW + timedelta(hours=1))
    replica.feeds.waiting_batches.put_nowait([another])
    async with replica.running():
        await until(lambda: bool(replica.log.granted))
        assert replica.log.granted == [replica.theirs]


async def test_a_pause_that_is_older_than_what_a_replica_knows_is_not_noted() -> None:
    replica = Replica(knows_campaigns=False)
    paused = replica.log.store(campaign_paused("reminders"))
    replica.feeds.campaign_batches.put_nowait(CampaignStates(paused.sequence + 1, RESUMED))
    async with replica.running():
        await replica.log.campaign_is_asked.wait()
        await settle()
        assert replica.slots.closed == set(), "the leader lags"
        replica.log.store(campaign_resumed("reminders"))
        await until(lambda: bool(replica.log.granted))


async def test_no_call_is_granted_a_slot_after_the_end_of_its_campaign_and_another_campaign_goes_on() -> None:
    replica = Replica(knows_campaigns=False)
    ending = Campaign(campaign_id="reminders").created(NOW, CampaignTerms(ends_at=NOW + timedelta(hours=1)))
    stored = replica.log.store(CampaignStarted(campaign=ending.started(NOW), occurred_at=NOW))
    replica.feeds.campaign_batches.put_nowait(CampaignStates(stored.sequence, {"reminders": ending.started(NOW)}))
    replica.log.may_answer.clear()
    async with replica.running():
        await replica.log.is_asked.wait()
        replica.time = NOW + timedelta(hours=1)  # between the choice and the answer of the leader
        another = replace(waiting(replica.theirs, due_sequence=2), campaign_id="another")
        replica.feeds.waiting_batches.put_nowait([another])
        replica.log.may_answer.set()
        await until(lambda: bool(replica.log.granted))
        assert replica.log.granted == [replica.theirs]
        assert replica.slots.closed == {"reminders"}


async def test_a_lower_limit_that_a_replica_has_not_received_is_read_before_it_grants() -> None:
    replica = Replica()
    replica.slots.limits = replace(replica.slots.limits, max_live=5)
    terms = CampaignTerms(max_concurrent_calls=1)
    limited = Campaign(campaign_id="reminders").created(NOW, terms).started(NOW)
    replica.log.store(CampaignStarted(campaign=limited, occurred_at=NOW))
    replica.feeds.waiting_batches.put_nowait([waiting(replica.theirs, due_sequence=2)])
    async with replica.running():
        await until(lambda: bool(replica.log.granted))
        await settle()
        assert replica.log.granted == [replica.ours]
        assert list(replica.slots.waiting) == [str(replica.theirs)]


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
        await until(lambda: replica.slots.closed is not None)
        replica.feeds.campaign_batches.put_nowait(RuntimeError("interrupted"))
        await until(lambda: replica.slots.closed is None)


async def test_an_entry_that_is_newer_than_the_log_blocks_no_other_call_and_is_removed() -> None:
    replica = Replica()
    missing = waiting(call_id_of("missing"), due_sequence=90)
    replica.feeds.waiting_batches = asyncio.Queue()
    replica.feeds.waiting_batches.put_nowait([replace(missing, due_at=NOW - timedelta(hours=1))])
    replica.feeds.waiting_batches.put_nowait([waiting(replica.ours, due_sequence=1)])
    async with replica.running():
        await until(lambda: bool(replica.log.granted))
        assert replica.log.granted == [replica.ours]
        await until(lambda: sorted(replica.queue.left) == [1, 90])
    assert replica.queue.joined == {}


async def test_a_call_whose_entry_is_newer_than_the_log_joins_again_if_it_waits() -> None:
    replica = Replica()
    replica.feeds.waiting_batches = asyncio.Queue()
    replica.feeds.waiting_batches.put_nowait([waiting(replica.ours, due_sequence=90)])
    async with replica.running():
        await until(lambda: replica.queue.joined == {replica.ours: 1})
        replica.feeds.waiting_batches.put_nowait([waiting(replica.ours, due_sequence=1)])
        await until(lambda: replica.log.granted == [replica.ours])


async def test_an_entry_whose_event_follows_after_an_election_is_granted() -> None:
    replica = Replica()
    replica.max_lag_seconds = 60.0
    replica.feeds.waiting_batches = asyncio.Queue()
    replica.feeds.waiting_batches.put_nowait([waiting(replica.ours, due_sequence=3)])
    async with replica.running():
        await until(lambda: not replica.slots.waiting and replica.log.is_asked.is_set())
        replica.log.store(CallDue(call=a_call(request_id="ours", is_queued=True), occurred_at=NOW))
        await until(lambda: replica.log.granted == [replica.ours])
    assert replica.queue.joined == {}


async def test_a_call_that_this_build_cannot_read_is_set_aside_and_its_entry_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = Replica()
    replica.feeds.waiting_batches.put_nowait([waiting(replica.theirs, due_sequence=2)])
    last = replica.log.last

    async def unreadable(subject: str) -> StoredEvent | None:
        if str(replica.ours) in subject:
            raise UnreadableEvent("CALLS", 1, subject, NOW, ["call.status: no such status"])
        return await last(subject)

    monkeypatch.setattr(replica.log, "last", unreadable)
    async with replica.running():
        await until(lambda: replica.log.granted == [replica.theirs])
        monkeypatch.undo()
        replica.feeds.slot_batches.put_nowait([Decided(9, str(replica.theirs), is_live=False)])
        await until(lambda: replica.log.granted == [replica.theirs, replica.ours])


@pytest.mark.parametrize("error", [Incomplete("message 5 did not arrive"), StreamRecreated("QUEUE")])
async def test_a_loss_of_messages_is_logged_in_one_line(error: Exception) -> None:
    replica = Replica()

    def fail() -> NoReturn:
        raise error

    replica.feeds.waiting = fail  # type: ignore[method-assign]
    with capture_logs() as lines:
        async with replica.running():
            await until(lambda: bool(lines))
    assert [line for line in lines if line["event"] == "admission_interrupted"] == [
        {"event": "admission_interrupted", "log_level": "warning", "part": "_follow_waiting", "reason": str(error)}
    ]


async def test_admission_ends_although_a_part_loses_its_first_cancellation() -> None:
    """As `asyncio.wait_for` may before Python 3.12 (cpython gh-86296); the service would never stop."""
    replica = Replica()
    is_lost = asyncio.Event()

    async def follow(_: object = None) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if is_lost.is_set():
                raise
            is_lost.set()

    replica.log.last = follow  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(60):
        async with replica.running():
            await until(lambda: bool(replica.slots.waiting))
            await settle()
    assert is_lost.is_set()
