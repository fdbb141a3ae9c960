"""Streams of events for REST clients: first what was stored after a sequence, then each event as it is stored.

A stream of one call has all events of that call, as `GET /calls/{id}/events`. A stream of a campaign, or of everything,
has the decisions: `call.*` and `campaign.*`. Each of them carries the call or the campaign after it, and no decision
contains what was spoken.

The subscription begins before the history is read. The history ends at the sequence at which the subscription begins,
so no event is missing and none is repeated.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import UUID

from chassis.event_log import UnreadableEvent
from contracts import CallDecision, CampaignDecision
from edge.application.acts import Acts
from edge.application.errors import TooManyStreams, TooOld
from edge.application.keys import Key
from edge.ports import EventFeed, FeedEvent, LiveEvents

MAX_STREAMS = 100
"""Open streams of one process."""
MAX_STREAMS_PER_KEY = 20
"""Open streams of one API key in one process."""
MAX_STREAM_SECONDS = 3_600.0
"""A stream ends after this time. Its client connects again and continues."""
MAX_RESUMED = 100_000
"""A stream of a campaign, or of everything, continues after a message that is at most this old, counted in messages.

To find the events, all messages since then are read.
"""
MAX_LONG_READS = 2
"""Streams of one API key in one process that continue after a message more than `LONG_READ` messages ago, at a time."""
LONG_READ = 1_000


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Implements `edge.ports.Selection`: the events of a call, or the decisions of a campaign, or all decisions."""

    call_id: UUID | None = None
    campaign_id: str | None = None

    def may_include(self, subject: str) -> bool:
        """Whether events with this subject may be included."""
        if self.call_id:
            return f".{self.call_id}" in subject
        return subject.startswith(("call.", "campaign."))

    def includes(self, event: FeedEvent) -> bool:
        """Whether the event is included. An undecodable one of an unknown campaign is in the stream of everything."""
        if self.campaign_id is None:
            return True
        if isinstance(event, UnreadableEvent):
            return False
        match event.event:
            case CallDecision(call=call):
                return call.campaign_id == self.campaign_id
            case CampaignDecision(campaign_id=campaign_id):
                return campaign_id == self.campaign_id
        return False


@dataclass(frozen=True, slots=True)
class OpenStream:
    """The events after a sequence. A client that has received none of them yet continues after that sequence."""

    after_sequence: int
    events: AsyncGenerator[FeedEvent, None]


class EventStreams:
    """Opens streams of events, within their limits."""

    def __init__(self, feed: EventFeed, acts: Acts) -> None:
        self._feed = feed
        self._acts = acts
        self._open: Counter[str] = Counter()
        self._long_reads: Counter[str] = Counter()

    @asynccontextmanager
    async def open(self, key: Key, selection: EventSelection, after_sequence: int | None) -> AsyncIterator[OpenStream]:
        """Yields the events after a sequence; without one, all events of a call, or the decisions from now on.

        A stream of a call contains what was spoken, so it is audited as a read of the call's events. Raises
        TooManyStreams, TooManyReads, TooOld, UnknownCall and Unavailable.
        """
        with self._counted(key), ExitStack() as long_read:
            async with self._feed.subscribe(selection) as live:
                history = await self._history(key, selection, after_sequence, live.start_sequence, long_read)
                first = 0 if selection.call_id else live.start_sequence
                events = _joined(history, live, after_sequence or 0, long_read)
                yield OpenStream(first if after_sequence is None else after_sequence, events)

    @contextmanager
    def _counted(self, key: Key) -> Iterator[None]:
        if self._open[key.digest] >= MAX_STREAMS_PER_KEY:
            raise TooManyStreams(f"this key has {MAX_STREAMS_PER_KEY} open streams of events; close one of them")
        if self._open.total() >= MAX_STREAMS:
            raise TooManyStreams(f"{MAX_STREAMS} streams of events are open; try again later")
        self._open[key.digest] += 1
        try:
            yield
        finally:
            self._open[key.digest] -= 1
            self._open += Counter()  # forgets keys without a stream

    async def _history(
        self,
        key: Key,
        selection: EventSelection,
        after_sequence: int | None,
        end_sequence: int,
        long_read: ExitStack,
    ) -> AsyncGenerator[FeedEvent, None]:
        """Returns the stored events after `after_sequence` up to `end_sequence`. `long_read` counts a long read."""
        if after_sequence is not None and after_sequence > end_sequence:
            last_sequence = await self._feed.last_sequence()
            if after_sequence > last_sequence:
                raise TooOld(f"the log ends at {last_sequence}; connect without it")
        if selection.call_id:
            events = await self._acts.read_events(key, selection.call_id)
            return _between(events, after_sequence or 0, end_sequence)
        if after_sequence is None or after_sequence >= end_sequence:
            return _between([], 0, 0)
        if end_sequence - after_sequence > MAX_RESUMED:
            raise TooOld(f"more than {MAX_RESUMED} messages ago; connect without it, and read the lists")
        history = self._feed.read(selection, after_sequence=after_sequence, end_sequence=end_sequence)
        if end_sequence - after_sequence > LONG_READ:
            long_read.enter_context(self._counted_read(key))
        return history

    @contextmanager
    def _counted_read(self, key: Key) -> Iterator[None]:
        if self._long_reads[key.digest] >= MAX_LONG_READS:
            reason = f"{MAX_LONG_READS} streams of this key read more than {LONG_READ} messages"
            raise TooManyStreams(f"{reason}; wait until one has read them")
        self._long_reads[key.digest] += 1
        try:
            yield
        finally:
            self._long_reads[key.digest] -= 1
            self._long_reads += Counter()


async def _between(events: list[FeedEvent], after_sequence: int, end_sequence: int) -> AsyncGenerator[FeedEvent, None]:
    for event in events:
        if after_sequence < event.sequence <= end_sequence:
            yield event


async def _joined(
    history: AsyncGenerator[FeedEvent, None], live: LiveEvents, after_sequence: int, long_read: ExitStack
) -> AsyncGenerator[FeedEvent, None]:
    ends_at = asyncio.get_running_loop().time() + MAX_STREAM_SECONDS
    async with aclosing(history):
        async for event in history:
            yield event
    long_read.close()
    while newest := await live.next(ends_at):
        if newest.sequence > after_sequence:
            yield newest
