"""The newest snapshot of every call, and when numbers were listed, read while faults happen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from nats.aio.client import Client

from chassis.stream_reader import decoded, follow
from contracts import Call, CallDecision, NumberChanged
from contracts.filters import call_state_filter
from contracts.number_state import NumberState
from contracts.streams import CALLS, NUMBERS, Stream

_LONG = timedelta(hours=1)


@dataclass
class Watcher:
    """The calls in the log: all ids, and the newest snapshot of each call without a final status.

    A run asks several times a second, so no answer costs more with every call that has ended.
    """

    call_ids: set[UUID] = field(default_factory=set)
    calls_of_contacts: int = 0
    listed_at: dict[str, datetime] = field(default_factory=dict)
    """When the server stored the state of a number that lists it, by the digest of the number; at the latest."""
    _open: dict[UUID, Call] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """How many calls have a final status now."""
        return len(self.call_ids) - len(self._open)

    def put_off(self, at: datetime) -> int:
        """Returns how many calls wait for longer than an hour from an instant, as those of a capped campaign do."""
        return sum(call.due_at is not None and call.due_at > at + _LONG for call in self._open.values())

    @property
    def open_calls(self) -> list[Call]:
        """The calls without a final status."""
        return list(self._open.values())

    def add(self, call: Call) -> None:
        """Adds the newest snapshot of a call."""
        is_new = call.call_id not in self.call_ids
        self.calls_of_contacts += is_new and call.request_id == f"{call.campaign_id}:{call.contact_id}"
        self.call_ids.add(call.call_id)
        self._open.pop(call.call_id, None)
        if not call.status.is_final:
            self._open[call.call_id] = call

    def add_number(self, number: NumberState, stored_at: datetime) -> None:
        """Adds a state of a number."""
        if number.is_listed:
            self.listed_at.setdefault(number.number_digest, stored_at)


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Watcher]:
    """Follows the log and the numbers during the block; it survives restarts of the server."""
    watcher = Watcher()

    async def record(stream: Stream, subjects: str) -> None:
        following = follow(client, stream, [subjects], start_sequence=1)
        async with aclosing(decoded(following, stream)) as batches:
            async for batch in batches:
                for stored in batch:
                    if isinstance(stored.event, CallDecision):
                        watcher.add(stored.event.call)
                    elif isinstance(stored.event, NumberChanged):
                        watcher.add_number(stored.event.number, stored.envelope.time)

    followed = ((CALLS, call_state_filter("*")), (NUMBERS, NumberChanged.subjects()))
    tasks = [asyncio.create_task(record(stream, subjects)) for stream, subjects in followed]
    try:
        yield watcher
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
