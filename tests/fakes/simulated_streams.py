"""The orchestrator's streams on a simulated server: each request and each delivery takes a random time.

They run in virtual time. What a reader follows arrives in order and late.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from tests.fakes.event_log import FakeEventLog

from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted, Released, SlotEvent, Waiting
from call_orchestrator.ports import CampaignStates
from chassis.event_log import Guard, StoredEvent
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallCommand,
    CallDecision,
    CallRequested,
    Campaign,
    CampaignDecision,
    DialClaimed,
    Envelope,
    Event,
    TimerDue,
)
from contracts.events.timers import schedule_subject, scheduled_call_id

MAX_LATENCY_SECONDS = 0.02
"""The longest way of a request to the server, and of its answer back."""
MAX_FOLLOWING_SECONDS = 0.2
"""How late a reader receives a message at most."""
MAX_READING_SECONDS = 3.0
"""How long a replica that starts takes at most to read the events of all campaigns."""


@dataclass
class Server:
    """The clock and the delays of the simulated server."""

    begins_at: datetime
    random: Random

    def now(self) -> datetime:
        """Returns the simulated time."""
        return self.begins_at + timedelta(seconds=asyncio.get_running_loop().time())

    async def wait(self, max_seconds: float = MAX_LATENCY_SECONDS) -> None:
        """Waits a random time."""
        await asyncio.sleep(self.random.random() * max_seconds)


class SimulatedLog(FakeEventLog):
    """A log whose requests take time. `listeners` are called with each stored event."""

    def __init__(self, server: Server) -> None:
        super().__init__(now=server.now)
        self.server = server
        self.listeners: list[Callable[[StoredEvent], None]] = []
        self._by_filter: dict[str, list[StoredEvent]] = defaultdict(list)

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
        ttl_seconds: int | None = None,
        person: str | None = None,
    ) -> StoredEvent:
        await self.server.wait()
        stored = await super().append(event, cause=cause, guard=guard, event_id=event_id)
        await self.server.wait()
        return stored

    def store(self, event: Event, event_id: str | None = None, cause: Envelope | None = None) -> StoredEvent:
        stored = super().store(event, event_id, cause)
        family, _, *rest = event.subject.split(".")
        for filter in {event.subject, ".".join((family, "*", *rest[:1], *("*" for _ in rest[1:])))}:
            self._by_filter[filter].append(stored)
        for listener in list(self.listeners):
            listener(stored)
        return stored

    async def last(self, subject: str) -> StoredEvent | None:
        await self.server.wait()
        newest = next(reversed(self._on(subject)), None)
        await self.server.wait()
        return newest

    async def read(self, subjects: Sequence[str], *, after_sequence: int = 0) -> list[StoredEvent]:
        await self.server.wait()
        found = {stored.sequence: stored for subject in subjects for stored in self._on(subject)}
        return [found[sequence] for sequence in sorted(found) if sequence > after_sequence]

    def newest(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter without a delay."""
        return next(reversed(self._on(subject)), None)

    def _on(self, subject: str) -> list[StoredEvent]:
        return self._by_filter.get(subject, [])


class SimulatedRequests:
    """The stream REQUESTS. `undecided`: the positions of the requests that no replica has decided yet."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._count = 0
        self._commands: list[StoredEvent[CallCommand]] = []
        self.undecided: set[int] = set()

    def store(self, event: Event) -> StoredEvent:
        """Stores a request or a command."""
        self._count += 1
        envelope = Envelope.of(id=f"request-{self._count}", source="upstream", time=self._server.now())
        stored = StoredEvent(event, envelope, self._count, stored_at=envelope.time)
        if isinstance(event, CallRequested):
            self.undecided.add(self._count)
        if isinstance(event, CallCommand):
            self._commands.append(StoredEvent(event, envelope, self._count))
        return stored

    async def commands(self, call_id: UUID, after_sequence: int) -> list[StoredEvent[CallCommand]]:
        await self._server.wait()
        return [one for one in self._commands if one.event.call_id == call_id and one.sequence > after_sequence]

    async def undecided_before(self, sequence: int) -> int:
        await self._server.wait()
        return max((sequence - one for one in self.undecided if one < sequence), default=0)


class SimulatedTimers:
    """The schedules of the server; each stores `timer.due` in the log when its time has come."""

    def __init__(self, log: SimulatedLog) -> None:
        self._log = log
        self._schedules: dict[str, asyncio.TimerHandle] = {}

    async def set(self, call: Call, fires_at: datetime, *, previous: Call | None, cause: Envelope) -> None:
        await self._log.server.wait()
        if previous and (removed := schedule_subject(previous)):
            self._remove(removed)
        self._schedule(call, fires_at, TimerDue(call_id=call.call_id, deadline_at=fires_at))
        await self._log.server.wait()

    async def calls(self) -> AsyncIterator[UUID]:
        await self._log.server.wait()
        for subject in list(self._schedules):
            yield UUID(scheduled_call_id(subject))

    async def wake(
        self, call: Call, cause: Envelope, *, is_number_free: bool = False, is_campaign_finished: bool = False
    ) -> None:
        await self._log.server.wait()
        assert call.deadline_at
        woken = TimerDue(
            call_id=call.call_id,
            deadline_at=call.deadline_at,
            is_number_free=is_number_free,
            is_campaign_finished=is_campaign_finished,
        )
        self._schedule(call, self._log.now(), woken)
        await self._log.server.wait()

    def _schedule(self, call: Call, fires_at: datetime, timer: TimerDue) -> None:
        subject = schedule_subject(call)
        assert subject
        self._remove(subject)
        seconds = max((fires_at - self._log.now()).total_seconds(), 0.0) + self._log.server.random.random() / 10
        self._schedules[subject] = asyncio.get_running_loop().call_later(seconds, self._log.store, timer)

    async def clear(self, previous: Call) -> None:
        await self._log.server.wait()
        self._remove(schedule_subject(previous) or "")

    def _remove(self, subject: str) -> None:
        if handle := self._schedules.pop(subject, None):
            handle.cancel()


@dataclass
class SimulatedQueue:
    """The stream QUEUE: the newest entry of each call."""

    server: Server
    entries: dict[UUID, Waiting] = field(default_factory=dict)
    listeners: list[Callable[[Waiting], None]] = field(default_factory=list)
    _joined: set[tuple[UUID, int]] = field(default_factory=set)
    _count: int = 0

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        await self.server.wait()
        if (call.call_id, due_sequence) not in self._joined:
            self._joined.add((call.call_id, due_sequence))
            self._count += 1
            assert call.due_at
            entry = Waiting(
                call_id=str(call.call_id),
                campaign_id=call.campaign_id,
                attempt=call.attempt + 1,
                due_at=call.due_at,
                due_sequence=due_sequence,
                queue_sequence=self._count,
            )
            self.entries[call.call_id] = entry
            for listener in list(self.listeners):
                listener(entry)
        await self.server.wait()

    async def leave(self, queue_sequence: int) -> None:
        await self.server.wait()
        self.entries = {id: one for id, one in self.entries.items() if one.queue_sequence != queue_sequence}


class SimulatedFeeds:
    """Implements `Feeds`: follows the log and the queue, late and in order."""

    def __init__(self, log: SimulatedLog, queue: SimulatedQueue) -> None:
        self._log = log
        self._queue = queue

    @asynccontextmanager
    async def slot_events(self) -> AsyncIterator[AsyncIterator[list[SlotEvent]]]:
        last = await self._log.last(AdmissionGranted.subjects())
        grant = last.event if last else None
        start = min(grant.replay_from_sequence, last.sequence) if last and isinstance(grant, AdmissionGranted) else 1
        yield self._slot_events(last.sequence if last else 0, start)

    async def _slot_events(self, last_grant_sequence: int, start: int) -> AsyncIterator[list[SlotEvent]]:
        yield [Begun(last_grant_sequence)]
        async for batch in self._follow(start):
            yield [event for stored in batch if (event := _slot_event(stored))]

    @asynccontextmanager
    async def campaigns(self) -> AsyncIterator[AsyncIterator[CampaignStates]]:
        yield self._campaigns()

    async def _campaigns(self) -> AsyncIterator[CampaignStates]:
        if self._log.stored:
            await self._log.server.wait(MAX_READING_SECONDS)
        known = len(self._log.stored)
        yield CampaignStates(known, _campaigns_after(self._log.stored))
        async for batch in self._follow(known + 1):
            if any(isinstance(stored.event, CampaignDecision) for stored in batch):
                yield CampaignStates(batch[-1].sequence, _campaigns_after(batch))

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[AsyncIterator[list[Waiting]]]:
        yield self._waiting()

    async def _waiting(self) -> AsyncIterator[list[Waiting]]:
        arrived: asyncio.Queue[Waiting] = asyncio.Queue()
        self._queue.listeners.append(arrived.put_nowait)
        yield list(self._queue.entries.values())
        while True:
            entry = await arrived.get()
            await self._log.server.wait(MAX_FOLLOWING_SECONDS)
            yield [entry, *(arrived.get_nowait() for _ in range(arrived.qsize()))]

    async def _follow(self, start: int) -> AsyncIterator[list[StoredEvent]]:
        read, has_more = start - 1, asyncio.Event()
        self._log.listeners.append(lambda _: has_more.set())
        while True:
            if read >= len(self._log.stored):
                has_more.clear()
                await has_more.wait()
                await self._log.server.wait(MAX_FOLLOWING_SECONDS)
            batch = self._log.stored[read:]
            read += len(batch)
            yield batch


def _campaigns_after(stored: Sequence[StoredEvent]) -> dict[str, Campaign]:
    return {one.event.campaign_id: one.event.campaign for one in stored if isinstance(one.event, CampaignDecision)}


def _slot_event(stored: StoredEvent) -> SlotEvent | None:
    match stored.event:
        case AdmissionGranted() as granted:
            return Granted(stored.sequence, str(granted.call_id), granted.campaign_id, granted_at=stored.stored_at)
        case AdmissionReleased() as released:
            return Released(str(released.call_id), released.grant_sequence)
        case DialClaimed() as claimed:
            return Claimed(str(claimed.call_id))
        case CallDecision() as decided if not decided.call.status.is_live:
            return Decided(stored.sequence, str(decided.call_id), is_live=False)
        case _:
            return None
