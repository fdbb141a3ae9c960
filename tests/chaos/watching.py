"""The newest snapshot of every call, read from the log while faults happen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from nats.aio.client import Client

from chassis.stream_reader import decoded, follow
from contracts import Call, CallDecision
from contracts.filters import call_state_filter
from contracts.streams import CALLS


@dataclass
class Watcher:
    """The calls in the log: all ids, and the newest snapshot of each call without a final status.

    A run asks several times a second, so no answer costs more with every call that has ended.
    """

    call_ids: set[UUID] = field(default_factory=set)
    _open: dict[UUID, Call] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """How many calls have a final status now."""
        return len(self.call_ids) - len(self._open)

    @property
    def open_calls(self) -> list[Call]:
        """The calls without a final status."""
        return list(self._open.values())

    def add(self, call: Call) -> None:
        """Adds the newest snapshot of a call."""
        self.call_ids.add(call.call_id)
        self._open.pop(call.call_id, None)
        if not call.status.is_final:
            self._open[call.call_id] = call


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Watcher]:
    """Follows the log during the block; it survives restarts of the server."""
    watcher = Watcher()

    async def record() -> None:
        following = follow(client, CALLS, [call_state_filter("*")], start_sequence=1)
        async with aclosing(decoded(following, CALLS)) as batches:
            async for batch in batches:
                for stored in batch:
                    if isinstance(stored.event, CallDecision):
                        watcher.add(stored.event.call)

    task = asyncio.create_task(record())
    try:
        yield watcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
