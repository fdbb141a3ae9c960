"""The ports of the orchestrator in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from call_orchestrator.domain.slot_events import SlotEvent, Waiting
from call_orchestrator.ports import CampaignStates
from chassis.event_log import StoredEvent
from contracts import Call, CallCommand, Envelope, TimerDue

T = TypeVar("T")


@dataclass
class FakeRequests:
    """The commands in the stream REQUESTS, and the distance to the first undecided request."""

    stored: list[StoredEvent[CallCommand]] = field(default_factory=list)
    distance: int = 0

    async def commands(self, call_id: UUID, after_sequence: int) -> list[StoredEvent[CallCommand]]:
        """Returns the commands of the call after this position."""
        return [one for one in self.stored if one.event.call_id == call_id and one.sequence > after_sequence]

    async def undecided_before(self, sequence: int) -> int:
        """Returns `distance`."""
        return self.distance


class FakeTimers:
    """Keeps when the timer of each call fires, and counts how often one was set.

    `woken`: the calls whose timer fires at once; `early`: those timers, in the same order.
    """

    def __init__(self) -> None:
        self.deadlines: dict[UUID, datetime] = {}
        self.count = 0
        self.woken: list[Call] = []
        self.early: list[TimerDue] = []

    async def set(self, call: Call, fires_at: datetime, *, previous: Call | None, cause: Envelope) -> None:
        self.deadlines[call.call_id] = fires_at
        self.count += 1

    async def wake(
        self, call: Call, cause: Envelope, *, is_number_free: bool = False, is_campaign_finished: bool = False
    ) -> None:
        self.woken.append(call)
        assert call.deadline_at is not None
        self.early.append(
            TimerDue(
                call_id=call.call_id,
                deadline_at=call.deadline_at,
                is_number_free=is_number_free,
                is_campaign_finished=is_campaign_finished,
            )
        )

    async def calls(self) -> AsyncIterator[UUID]:
        for call_id in list(self.deadlines):
            yield call_id

    async def clear(self, previous: Call) -> None:
        self.deadlines.pop(previous.call_id, None)


class FakeQueue:
    """Keeps, for each queued call, the sequence of the event that queued it, and all removed entries."""

    def __init__(self) -> None:
        self.joins = 0
        self.joined: dict[UUID, int] = {}
        self.left: list[int] = []

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        self.joined[call.call_id] = due_sequence
        self.joins += 1

    async def leave(self, queue_sequence: int) -> None:
        self.left.append(queue_sequence)


class FakeFeeds:
    """Feeds whose batches a test puts into queues; an exception in a queue interrupts the feed."""

    def __init__(self) -> None:
        self.slot_batches: asyncio.Queue[list[SlotEvent] | Exception] = asyncio.Queue()
        self.waiting_batches: asyncio.Queue[list[Waiting] | Exception] = asyncio.Queue()
        self.campaign_batches: asyncio.Queue[CampaignStates | Exception] = asyncio.Queue()

    @asynccontextmanager
    async def slot_events(self) -> AsyncIterator[AsyncIterator[list[SlotEvent]]]:
        yield _drain(self.slot_batches)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[AsyncIterator[list[Waiting]]]:
        yield _drain(self.waiting_batches)

    @asynccontextmanager
    async def campaigns(self) -> AsyncIterator[AsyncIterator[CampaignStates]]:
        yield _drain(self.campaign_batches)


async def _drain(batches: asyncio.Queue[T | Exception]) -> AsyncIterator[T]:
    while True:
        batch = await batches.get()
        if isinstance(batch, Exception):
            raise batch
        yield batch
