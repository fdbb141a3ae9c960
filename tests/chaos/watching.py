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
    """The calls in the log, by id."""

    calls: dict[UUID, Call] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """How many calls have a final status now."""
        return sum(call.status.is_final for call in self.calls.values())

    @property
    def open_calls(self) -> list[Call]:
        """The calls without a final status."""
        return [call for call in self.calls.values() if not call.status.is_final]


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
                        watcher.calls[stored.event.call_id] = stored.event.call

    task = asyncio.create_task(record())
    try:
        yield watcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
