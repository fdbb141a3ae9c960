"""Readers of this service's events in the stream ``CALLS``."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.event_log import EventLog, StoredEvent
from chassis.stored_event import stored_event_of
from chassis.stream_reader import follow
from contracts import AudioRequested, DialCleared, DialPlaced, DialRefused, DialUnknown, InvalidMessage, ReplyGenerated
from contracts.streams import CALLS

INACTIVE_SECONDS = 5.0
"""The server removes the consumer of a finished turn after this time."""

_DIAL_FILTERS = tuple(event.subjects() for event in (DialCleared, DialPlaced, DialRefused, DialUnknown))


class SpeechEventReader:
    """Implements `voice.ports.SpeechEvents` with a consumer in memory, which the server replaces if its node fails."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @asynccontextmanager
    async def follow(self, call_id: UUID) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        """See the port."""
        filters = [f"{event.event_name}.{call_id}" for event in (AudioRequested, ReplyGenerated)]
        following = follow(self._client, CALLS, filters, start=1, forgotten_after=INACTIVE_SECONDS)
        async with aclosing(following) as batches:
            yield (event async for batch in _decoded(batches) for event in batch)


class DialEventReader:
    """Implements `voice.ports.DialEvents`. The last permit names the sequence from which to read."""

    def __init__(self, client: Client, calls: EventLog) -> None:
        self._client = client
        self._calls = calls

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        """See the port. Without a permit in the log, reading starts at its end."""
        end_sequence = (await self._client.jetstream().stream_info(CALLS.name)).state.last_seq
        last = await self._calls.last(DialCleared.subjects())
        start = last.event.replay_from_sequence if last and isinstance(last.event, DialCleared) else end_sequence + 1
        async with aclosing(follow(self._client, CALLS, _DIAL_FILTERS, start=start)) as batches:
            yield _decoded(batches)


async def _decoded(batches: AsyncGenerator[list[Msg], None]) -> AsyncIterator[list[StoredEvent]]:
    async for batch in batches:
        events = []
        for message in batch:
            with suppress(InvalidMessage):  # its durable consumer makes a dead letter of it
                events.append(stored_event_of(message))
        yield events
