"""Readers of this service's events in the stream ``CALLS``."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

from nats.aio.client import Client

from chassis.event_log import EventLog, StoredEvent
from chassis.stream_reader import follow_events, last_sequence
from chassis.unreadable import UnreadableEvents
from contracts import AudioRequested, DialCleared, DialPlaced, DialRefused, DialUnknown, ReplyGenerated
from contracts.streams import CALLS

INACTIVE_SECONDS = 5.0
"""The server removes the consumer of a finished turn after this time."""

_DIAL_FILTERS = tuple(event.subjects() for event in (DialCleared, DialPlaced, DialRefused, DialUnknown))


class SpeechEventReader:
    """Implements `voice.ports.SpeechEvents` with a consumer in memory, which the server replaces if its node fails."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._unreadable = UnreadableEvents("turns")

    @asynccontextmanager
    async def follow(self, call_id: UUID) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        """Follows the call's `audio.requested` and `reply.generated` events from the first one, without an end."""
        filters = [event.subject_for(call_id) for event in (AudioRequested, ReplyGenerated)]
        following = follow_events(
            self._client,
            CALLS,
            filters,
            start_sequence=1,
            inactive_seconds=INACTIVE_SECONDS,
            skip=self._unreadable.report,  # the turn then ends early, and its remainder is spoken
        )
        async with aclosing(following) as batches:
            yield (event async for batch in batches for event in batch)


class DialEventReader:
    """Implements `voice.ports.DialEvents`. The last permit names the sequence from which to read."""

    def __init__(self, client: Client, calls: EventLog) -> None:
        self._client = client
        self._calls = calls

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        """Follows permits and outcomes from the oldest that still counts; without a permit, from the log's end.

        Raises UnreadableEvent: a permit that is not counted would exceed the account's rate limit.
        """
        end_sequence = await last_sequence(self._client, CALLS.name)
        last = await self._calls.last(DialCleared.subjects())
        start = last.event.replay_from_sequence if last and isinstance(last.event, DialCleared) else end_sequence + 1
        async with aclosing(follow_events(self._client, CALLS, _DIAL_FILTERS, start_sequence=start)) as batches:
            yield batches
