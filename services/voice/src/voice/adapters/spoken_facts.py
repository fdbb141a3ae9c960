"""What is asked to be spoken in one call, from the log: one reading for what was and what comes."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.event_log import StoredEvent
from chassis.stored_event import stored_event_of
from chassis.stream_reader import follow
from contracts import AudioRequested, InvalidMessage, ReplyGenerated
from contracts.streams import CALLS

LEFT_AFTER_SECONDS = 5.0
"""The server removes a consumer that nobody has listened to for so long; unsubscribing is all that is needed."""


class LoggedFacts:
    """The port `SpokenFacts`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @asynccontextmanager
    async def follow(self, call_id: UUID) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        """A consumer in memory, gone soon after the block; one that its node takes along is made anew elsewhere."""
        filters = [f"{event.event_name}.{call_id}" for event in (AudioRequested, ReplyGenerated)]
        following = follow(self._client, CALLS, filters, start=1, forgotten_after=LEFT_AFTER_SECONDS)
        async with aclosing(following) as batches:
            yield _events(batches)


async def _events(batches: AsyncGenerator[list[Msg], None]) -> AsyncIterator[StoredEvent]:
    async for batch in batches:
        for message in batch:
            with suppress(InvalidMessage):  # its durable consumers make a dead letter of it
                yield stored_event_of(message)
