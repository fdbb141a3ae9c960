"""Reading the stored messages of a stream in its order, each exactly once, without a consumer.

| function | reads | ends |
|---|---|---|
| `read` | stored messages up to a sequence | at that sequence |
| `follow` | stored messages and then new ones | never |
| `Reader` | as `follow`, one page at a time, with the number of pending messages | never |

`decoded` decodes what they yield. All read pages; `chassis.stream_scan` says why no message is missing or repeated.
`chassis.live` yields new messages sooner and with less work, and may lose one.

The server publishes stored messages again (`contracts.streams.Stream.live`). A live message that directly follows what
has been read needs no request. Any other one wakes the reader, which reads pages up to it. So a lost message costs time
and nothing else: after `IDLE_SECONDS` without a live message, the leader is asked whether there is more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.direct_get import StoredMessage, stored_message
from chassis.stream_api import jetstream_of
from chassis.stream_scan import (
    BATCH,
    LAG_PAUSE_SECONDS,
    Batch,
    Scan,
    StreamRecreated,
    decoded,
    is_ending,
    subscribed,
    wait_until_cancelled,
)
from contracts.streams import Stream

__all__ = ["BATCH", "IDLE_SECONDS", "Reader", "StreamRecreated", "decoded", "follow", "last_sequence", "read"]

IDLE_SECONDS = 2.0
_MAX_PAUSE_SECONDS = 5.0

logger = structlog.get_logger()


async def last_sequence(client: Client, stream: str) -> int:
    """Returns the sequence of the newest message that the stream has or had. Raises nats.js.errors.NotFoundError."""
    return (await jetstream_of(client, stream).stream_info(stream)).state.last_seq


async def read(
    client: Client, stream: str, filters: Sequence[str] = (), *, start_sequence: int = 1, end_sequence: int
) -> AsyncGenerator[StoredMessage, None]:
    """Yields the messages from `start_sequence` to `end_sequence`, both included. Raises an error of nats-py."""
    scan = Scan(client, stream, filters, start_sequence)
    async with aclosing(scan.up_to(end_sequence)) as pages:
        async for messages in pages:
            for message in messages:
                if message.seq > end_sequence:
                    return
                yield message


class Reader:
    """The messages on `filters` from a sequence on. `is_woken_by_live` must be entered for as long as it is used."""

    def __init__(self, client: Client, stream: Stream, filters: Sequence[str], *, start_sequence: int) -> None:
        self._client = client
        self._live = [stream.live(filter) for filter in filters]
        self._scan = Scan(client, stream.name, filters, start_sequence)
        self._live_sequence = 0
        self._following: list[StoredMessage] = []
        """Live messages whose sequences follow the scanned one without a gap."""
        self._may_have_more = True
        self._is_woken = asyncio.Event()

    @asynccontextmanager
    async def is_woken_by_live(self) -> AsyncIterator[None]:
        """Receives new messages while the block runs. Raises an error of nats-py, and StreamRecreated."""
        self._may_have_more, self._following = True, []
        async with AsyncExitStack() as stack:
            for subject in self._live:
                await stack.enter_async_context(subscribed(self._client, subject, self._receive))
            await self._scan.note_stream()
            yield

    async def _receive(self, message: Msg) -> None:
        sequence = int((message.headers or {}).get("Nats-Sequence", "0"))
        self._live_sequence = max(self._live_sequence, sequence)
        last_sequence = self._following[-1].seq if self._following else self._scan.scanned_sequence
        if sequence == last_sequence + 1 and len(self._following) < BATCH:
            self._following.append(stored_message(message))
        self._is_woken.set()

    def _take_following(self) -> list[StoredMessage]:
        """Returns the live messages that follow the scanned one, if no later one is known: pages read more at once."""
        following, self._following = self._following, []
        following = [message for message in following if message.seq > self._scan.scanned_sequence]
        if not following or following[-1].seq < self._live_sequence:
            return []
        self._scan.skip_to(following[-1].seq)
        self._may_have_more = False
        return following

    async def next(self) -> Batch:
        """Returns what matches in the next page, perhaps nothing; nothing also if no message is stored for a while.

        Raises an error of nats-py. After it, the next call continues where the last one ended. Raises StreamRecreated.
        """
        clock, was_behind = asyncio.get_running_loop().time, False
        idle_at = clock() + IDLE_SECONDS
        while True:
            self._is_woken.clear()
            if messages := self._take_following():
                return Batch(messages, 0)
            before = self._scan.scanned_sequence
            if self._may_have_more or before < self._live_sequence:
                batch, self._may_have_more = await self._scan.next()
                if self._may_have_more or self._scan.scanned_sequence > before:
                    return batch
            is_behind = self._scan.scanned_sequence < self._live_sequence
            if is_behind:  # the answering node lags, or the message was deleted
                await asyncio.sleep(LAG_PAUSE_SECONDS)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(idle_at):
                        await self._is_woken.wait()
            if (was_behind and is_behind) or clock() >= idle_at:
                if await self._scan.is_at_end():
                    return Batch([], 0)
                self._may_have_more, idle_at = True, clock() + IDLE_SECONDS
            was_behind = is_behind


async def follow(
    client: Client, stream: Stream, filters: Sequence[str], *, start_sequence: int
) -> AsyncGenerator[list[StoredMessage], None]:
    """Yields the messages on `filters` from `start_sequence` on, in batches, each message exactly once, without an end.

    After a failure it continues after the last message that it yielded. Once the connection is being closed, it yields
    nothing more and waits until it is cancelled. Close the generator to end it. Raises StreamRecreated: begin again.
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


async def _pause(client: Client, stream: Stream, failures: int, error: Exception) -> None:
    if is_ending(client):
        return
    seconds = min(0.1 * 2**failures, _MAX_PAUSE_SECONDS)
    logger.warning("following_interrupted", stream=stream.name, again_in_seconds=seconds, error=repr(error))
    await asyncio.sleep(seconds)
