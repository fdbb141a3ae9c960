"""The live events of all streams of this process, by one follower of the log.

The follower runs while there is a stream. It receives each message of the log once, for any number of streams, and
decodes those that a stream may include. It follows all subjects, because it reads a page where a sequence is missing. A
stream that begins at a sequence gets each later event once, in the order of the log (`chassis.stream_reader`).

Events wait in memory until their stream sends them. A stream that falls behind by `MAX_WAITING_BYTES` ends: its client
connects again, and continues with a read of the log.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import structlog
from nats.aio.client import Client

from chassis import stream_reader
from chassis.background import cancel_until_done
from chassis.direct_get import StoredMessage
from chassis.event_log import EventLog
from chassis.unreadable import UnreadableEvent
from contracts.filters import DECISION_FILTERS
from contracts.streams import CALLS
from edge.adapters.nats import translate_errors
from edge.ports import FeedEvent, Selection, Unavailable

MAX_WAITING_BYTES = 4_000_000
"""The maximum size of the events that wait for one stream. Streams of the same events share them."""
_FAIR_SHARE = 50
"""After so many messages the streams may send: a batch of the follower has up to 500."""

logger = structlog.get_logger()


class NatsLiveEvents:
    """Implements `edge.ports.LiveEvents`: the queue of one stream."""

    def __init__(self, selection: Selection, start_sequence: int) -> None:
        self.start_sequence = start_sequence
        self.selection = selection
        self._waiting: deque[tuple[FeedEvent, int]] = deque()
        self._waiting_bytes = 0
        self._has_ended = False
        self._is_woken = asyncio.Event()

    def add(self, event: FeedEvent, size: int) -> None:
        """Appends an event, or ends the stream if too much waits."""
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            self.end()
        if not self._has_ended:
            self._waiting.append((event, size))
            self._waiting_bytes += size
            self._is_woken.set()

    def end(self) -> None:
        """Ends the stream after what it has sent."""
        self._has_ended = True
        self._waiting.clear()
        self._is_woken.set()

    async def next(self, ends_at: float) -> FeedEvent | None:
        """Returns the next event; None at `ends_at`, and after `end`."""
        try:
            async with asyncio.timeout_at(ends_at):
                while not self._waiting and not self._has_ended:
                    self._is_woken.clear()
                    await self._is_woken.wait()
        except TimeoutError:
            return None
        if self._has_ended:
            return None
        event, size = self._waiting.popleft()
        self._waiting_bytes -= size
        return event


class NatsEventFeed:
    """Implements `edge.ports.EventFeed` with the stream CALLS."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log
        self._streams: set[NatsLiveEvents] = set()
        self._follower: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._sequence = 0
        """The sequence of the last message that was passed on to all streams."""
        self._is_closed = False

    @asynccontextmanager
    async def subscribe(self, selection: Selection) -> AsyncIterator[NatsLiveEvents]:
        """Yields the events from now on. Raises Unavailable."""
        async with self._starting:
            start_sequence = await self.last_sequence() if self._follower is None else self._sequence
            if self._is_closed:  # also if `close` came meanwhile
                raise Unavailable("this process stops")
            if self._follower is None:
                self._sequence = start_sequence
                self._follower = asyncio.create_task(self._follow(start_sequence + 1))
            live = NatsLiveEvents(selection, self._sequence)
            self._streams.add(live)
        try:
            yield live
        finally:
            self._streams.discard(live)
            if not self._streams and self._follower:
                self._follower.cancel()
                self._follower = None

    async def last_sequence(self) -> int:
        """Returns the sequence of the newest event. Raises Unavailable."""
        async with translate_errors(self._client, "the log could not be read"):
            return await stream_reader.last_sequence(self._client, CALLS.name)

    async def read(
        self, selection: Selection, *, after_sequence: int, end_sequence: int
    ) -> AsyncGenerator[FeedEvent, None]:
        """Yields the stored decisions between two sequences, without the first. Raises Unavailable."""
        messages = stream_reader.read(
            self._client, CALLS.name, DECISION_FILTERS, start_sequence=after_sequence + 1, end_sequence=end_sequence
        )
        async with translate_errors(self._client, "the log could not be read"), aclosing(messages):
            async for message in messages:
                if selection.may_include(message.subject):
                    event = await self._decoded(message)
                    if selection.includes(event):
                        yield event

    async def close(self) -> None:
        """Ends all streams, and permits no new ones."""
        self._is_closed = True
        self._end_streams()
        if follower := self._follower:
            await cancel_until_done(follower)

    def _end_streams(self) -> None:
        for live in self._streams:
            live.end()

    async def _follow(self, start_sequence: int) -> None:
        """Passes messages on until it is cancelled. Ends the streams if it cannot continue."""
        batches = stream_reader.follow(self._client, CALLS, CALLS.subjects, start_sequence=start_sequence)
        try:
            async with aclosing(batches):
                async for messages in batches:
                    await self._pass_on(messages)
        except stream_reader.StreamRecreated as error:
            logger.warning("event_streams_ended", reason=str(error))
        finally:
            if self._follower is asyncio.current_task():
                self._follower = None
                self._end_streams()

    async def _pass_on(self, messages: list[StoredMessage]) -> None:
        for number, message in enumerate(messages, start=1):
            if self._follower is not asyncio.current_task():  # the cancellation may be lost
                return
            subject = message.subject
            if any(live.selection.may_include(subject) for live in self._streams):
                event, size = await self._decoded(message), len(message.data)
                for live in self._streams:  # also those that began meanwhile, after the message before this one
                    if live.selection.may_include(subject) and live.selection.includes(event):
                        live.add(event, size)
            self._sequence = message.seq
            if number % _FAIR_SHARE == 0:
                await asyncio.sleep(0)

    async def _decoded(self, message: StoredMessage) -> FeedEvent:
        try:
            return await self._log.decode(message)
        except UnreadableEvent as error:
            return error
