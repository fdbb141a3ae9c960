"""Reading the stored messages of a stream in its order, each exactly once, without a consumer.

| function | reads | ends |
|---|---|---|
| `read` | stored messages up to a sequence | at that sequence |
| `follow`, `follow_events` | stored messages and then new ones | never |
| `Reader` | as `follow`, one page at a time, with the number of pending messages | never |

All read pages; `chassis.stream_scan` says why no message is missing or repeated. `chassis.live` yields new messages
sooner and with less work, and may lose one.

The server publishes stored messages again (`contracts.streams.Stream.live`). They only wake the reader, so a lost one
costs time and nothing else: after `IDLE_SECONDS` without one, the leader is asked whether there is more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.direct_get import StoredMessage
from chassis.stored_event import StoredEvent
from chassis.stream_scan import (
    BATCH,
    LAG_PAUSE_SECONDS,
    Batch,
    Scan,
    decoded,
    is_ending,
    subscribed,
    wait_until_cancelled,
)
from chassis.unreadable import UnreadableEvent
from contracts.streams import Stream

__all__ = ["BATCH", "IDLE_SECONDS", "Reader", "follow", "follow_events", "last_sequence", "read"]

IDLE_SECONDS = 2.0
_MAX_PAUSE_SECONDS = 5.0

logger = structlog.get_logger()


async def last_sequence(client: Client, stream: str) -> int:
    """Returns the sequence of the newest message that the stream has or had. Raises nats.js.errors.NotFoundError."""
    return (await client.jetstream().stream_info(stream)).state.last_seq


async def read(
    client: Client, stream: str, filters: Sequence[str] = (), *, start_sequence: int = 1, end_sequence: int
) -> AsyncGenerator[StoredMessage, None]:
    """Yields the messages from `start_sequence` to `end_sequence`, both included. Raises an error of nats-py."""
    scan = Scan(client, stream, filters, start_sequence)
    while scan.scanned_sequence < end_sequence:
        batch, has_more = await scan.next()
        for message in batch.messages:
            if message.seq > end_sequence:
                return
            yield message
        if not has_more and scan.scanned_sequence < end_sequence:
            if await scan.is_at_end():
                return
            await asyncio.sleep(LAG_PAUSE_SECONDS)


class Reader:
    """The messages on `filters` from a sequence on. `is_woken_by_live` must be entered for as long as it is used."""

    def __init__(self, client: Client, stream: Stream, filters: Sequence[str], *, start_sequence: int) -> None:
        self._client = client
        self._live = [stream.live(filter) for filter in filters]
        self._scan = Scan(client, stream.name, filters, start_sequence)
        self._live_sequence = 0
        self._is_woken = asyncio.Event()

    @asynccontextmanager
    async def is_woken_by_live(self) -> AsyncIterator[None]:
        """Receives new messages while the block runs. Raises an error of nats-py."""
        async with AsyncExitStack() as stack:
            for subject in self._live:
                await stack.enter_async_context(subscribed(self._client, subject, self._wake))
            yield

    async def _wake(self, message: Msg) -> None:
        self._live_sequence = max(self._live_sequence, int((message.headers or {}).get("Nats-Sequence", "0")))
        self._is_woken.set()

    async def next(self) -> Batch:
        """Returns what matches in the next page, perhaps nothing; nothing also if no message is stored for a while.

        Raises an error of nats-py. After it, the next call continues where the last one ended.
        """
        while True:
            self._is_woken.clear()
            before, (batch, has_more) = self._scan.scanned_sequence, await self._scan.next()
            if has_more or self._scan.scanned_sequence > before:
                return batch
            if self._scan.scanned_sequence < self._live_sequence:  # the answering node lags
                await asyncio.sleep(LAG_PAUSE_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._is_woken.wait()
            if not self._is_woken.is_set() and await self._scan.is_at_end():
                return Batch([], 0)


async def follow(
    client: Client, stream: Stream, filters: Sequence[str], *, start_sequence: int
) -> AsyncGenerator[list[StoredMessage], None]:
    """Yields the messages on `filters` from `start_sequence` on, in batches, each message exactly once, without an end.

    After a failure it continues after the last message that it yielded. Once the connection is being closed, it yields
    nothing more and waits until it is cancelled. Close the generator to end it.
    """
    reader, failures = Reader(client, stream, filters, start_sequence=start_sequence), 0
    while not is_ending(client):
        try:
            async with reader.is_woken_by_live():
                while True:
                    messages = (await reader.next()).messages
                    failures = 0
                    if messages:
                        yield messages
        except (NatsError, TimeoutError, OSError) as error:
            await _pause(client, stream, failures, error)
            failures = min(failures + 1, 16)
    await wait_until_cancelled()


async def follow_events(
    client: Client,
    stream: Stream,
    filters: Sequence[str],
    *,
    start_sequence: int,
    skip: Callable[[UnreadableEvent], None] | None = None,
) -> AsyncGenerator[list[StoredEvent], None]:
    """As `follow`, decoded. Raises UnreadableEvent at an event that cannot be decoded, after all events before it.

    With `skip`, such events are left out and passed to it: give it only if a missing event does no harm.
    """
    async with aclosing(follow(client, stream, filters, start_sequence=start_sequence)) as batches:
        async for events in decoded(batches, stream, skip):
            yield events


async def _pause(client: Client, stream: Stream, failures: int, error: Exception) -> None:
    if is_ending(client):
        return
    seconds = min(0.1 * 2**failures, _MAX_PAUSE_SECONDS)
    logger.warning("following_interrupted", stream=stream.name, again_in_seconds=seconds, error=repr(error))
    await asyncio.sleep(seconds)
