"""The reader of the events of all dials in the stream ``CALLS``."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from nats.aio.client import Client

from chassis.event_log import EventLog, StoredEvent
from chassis.live import chained, listen
from chassis.stream_reader import decoded, last_sequence
from contracts import DialCleared
from contracts.filters import DIAL_FILTERS
from contracts.streams import CALLS
from voice.ports import LastPermit


class DialEventReader:
    """Implements `voice.ports.DialEvents`. The last permit names the sequence from which to read."""

    def __init__(self, client: Client, calls: EventLog) -> None:
        self._client = client
        self._calls = calls

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[tuple[LastPermit | None, AsyncIterator[list[StoredEvent]]]]:
        """Follows permits and outcomes from the oldest that still counts; without a permit, from the log's end.

        Raises UnreadableEvent: a permit that is not counted would exceed the account's rate limit. Raises
        `chassis.live.Incomplete`: then one may be missing, and they must be followed again.
        """
        end_sequence = await last_sequence(self._client, CALLS.name)
        last = await self._last_permit()
        # An import gives events other sequences.
        start = min(last.replay_from_sequence, last.sequence) if last else end_sequence + 1
        listening = listen(self._client, CALLS, DIAL_FILTERS, start_sequence=start)
        permits = chained(listening, DialCleared.subjects(), end_sequence=end_sequence)
        async with aclosing(decoded(permits, CALLS)) as batches:
            yield last, batches

    async def _last_permit(self) -> LastPermit | None:
        """Returns the last permit. It is looked up among those of older builds only if the chain has none yet."""
        for subject in (DialCleared.subjects(), *DialCleared.former_subjects()):
            last = await self._calls.last(subject)
            if last and isinstance(last.event, DialCleared):
                is_chained = subject == DialCleared.subjects()
                return LastPermit(last.sequence, last.event.replay_from_sequence, is_chained)
        return None
