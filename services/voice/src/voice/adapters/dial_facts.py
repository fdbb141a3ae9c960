"""What is cleared and what came of it, from the log."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.event_log import EventLog, StoredEvent
from chassis.stored_event import stored_event_of
from chassis.stream_reader import follow
from contracts import DialCleared, DialPlaced, DialRefused, DialUnknown, InvalidMessage
from contracts.streams import CALLS

_FILTERS = tuple(event.subjects() for event in (DialCleared, DialPlaced, DialRefused, DialUnknown))


class LoggedDials:
    """The port `DialFacts`. The last clearance says from where the log must be read."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        """See `DialFacts.heard`."""
        end = (await self._client.jetstream().stream_info(CALLS.name)).state.last_seq
        last = await self._log.last(DialCleared.subjects())
        start = last.event.replay_from_sequence if last and isinstance(last.event, DialCleared) else end + 1
        async with aclosing(follow(self._client, CALLS, _FILTERS, start=start)) as batches:
            yield _events(batches)


async def _events(batches: AsyncGenerator[list[Msg], None]) -> AsyncIterator[list[StoredEvent]]:
    async for batch in batches:
        events = []
        for message in batch:
            with suppress(InvalidMessage):  # its durable consumers make a dead letter of it
                events.append(stored_event_of(message))
        yield events
