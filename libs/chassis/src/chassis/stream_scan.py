"""The parts of which `chassis.stream_reader` and `chassis.live` consist: pages, the end, new messages, decoding.

**No message is missing or repeated.** A page has no gap (`chassis.direct_get`), so all messages up to its last one have
been read; the next page begins after it. The pages have no filter, unless it is one literal subject: the server finds
such a page at a constant cost. The client leaves out what does not match by its subject, without decoding it.

**The end.** A node that lags ends too early. So at the end the leader is asked whether a matching message follows. If
none does, everything is read up to the sequence that was the stream's last before the question, and that part is not
read again. The answer counts only if the leader has not changed meanwhile, because a new one may still apply its log.

**Another stream.** A reader that continues where it is would miss messages of a stream that was created again. So the
server's time of its creation is compared with the one at the beginning, whenever the leader is asked.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg, StreamInfo
from nats.js.errors import NotFoundError

from chassis.direct_get import Page, StoredMessage, get_page
from chassis.leader_retry import retry_until_leader
from chassis.stored_event import StoredEvent, stored_event_of_raw
from chassis.stream_api import jetstream_of
from chassis.subject_filters import is_literal, matcher
from chassis.unreadable import UnreadableEvent
from contracts.streams import Stream

BATCH = 500
LAG_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Batch:
    """Matching messages in the order of the stream. `pending`: how many messages, matching or not, follow them."""

    messages: list[StoredMessage]
    pending: int


class StreamRecreated(Exception):
    """The stream was deleted and created again, or restored: its sequences are those of other messages."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"the stream {stream} was created again")


class Scan:
    """Reads a stream in pages. `scanned_sequence`: all messages up to this one have been read.

    `created_at`: when the server created the stream, as `note_stream` has found.
    """

    def __init__(self, client: Client, stream: str, filters: Sequence[str], start_sequence: int) -> None:
        self.scanned_sequence = max(start_sequence - 1, 0)
        self.created_at: datetime | None = None
        self._client = client
        self._stream = stream
        self._filters = tuple(filters) or (">",)
        self._matches = matcher(filters)
        self._page_filter = filters[0] if len(filters) == 1 and is_literal(filters[0]) else ">"

    async def next(self) -> tuple[Batch, bool]:
        """Reads the next page, and returns it with whether the answering node has more. Raises an error of nats-py."""
        page = await retry_until_leader(self._page)
        if page.messages:
            self.scanned_sequence = page.messages[-1].seq
        matching = [message for message in page.messages if self._matches(message.subject)]
        return Batch(matching, page.pending), page.has_more

    def skip_to(self, sequence: int) -> None:
        """Counts all messages up to `sequence` as read: the caller has received them otherwise."""
        self.scanned_sequence = sequence

    async def _page(self) -> Page:
        return await get_page(
            self._client, self._stream, self._page_filter, start_sequence=self.scanned_sequence + 1, limit=BATCH
        )

    async def note_stream(self) -> int:
        """Returns the last sequence of the stream, and notes which stream it is.

        From then on, `is_at_end` and `note_stream` raise StreamRecreated if it is another one.
        """
        info = await _info(self._client, self._stream)
        if self.created_at not in (None, info.created):
            raise StreamRecreated(self._stream)
        self.created_at = info.created
        return info.state.last_seq

    async def up_to(self, end_sequence: int) -> AsyncGenerator[list[StoredMessage], None]:
        """Yields what matches, page by page, until each message up to `end_sequence` is read. The last page may go on.

        A stream that ends earlier is read to its end.
        """
        while self.scanned_sequence < end_sequence:
            batch, has_more = await self.next()
            if batch.messages:
                yield batch.messages
            if not has_more and self.scanned_sequence < end_sequence:
                if await self.is_at_end():
                    return
                await asyncio.sleep(LAG_PAUSE_SECONDS)

    async def is_at_end(self) -> bool:
        """Asks the leader whether nothing that matches follows; if so, what does not match counts as scanned."""
        end_sequence = await end_without(
            self._client, self._stream, self._filters, self.scanned_sequence, created_at=self.created_at
        )
        if end_sequence is None:
            return False
        self.scanned_sequence = max(self.scanned_sequence, end_sequence)
        return True


async def end_without(
    client: Client, stream: str, filters: Sequence[str], after_sequence: int, *, created_at: datetime | None = None
) -> int | None:
    """Returns a last sequence of the stream, if no message after `after_sequence` up to it matches a filter; or None.

    None also if the leader has changed meanwhile. Asks the leader. Raises an error of nats-py. Raises StreamRecreated
    if the stream was not created at `created_at`, or ends before `after_sequence`; without `created_at`, it does not.
    """
    before = await end_of(client, stream, after_sequence, created_at=created_at)
    if before.sequence <= after_sequence:
        return after_sequence
    for filter in filters:
        if await next_at_leader(client, stream, filter, after_sequence + 1):
            return None
    after = await end_of(client, stream)
    return before.sequence if before.leader == after.leader else None


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The last sequence of a stream, by its leader; without a cluster, the leader has no name."""

    sequence: int
    leader: str | None


async def end_of(
    client: Client, stream: str, after_sequence: int = 0, *, created_at: datetime | None = None
) -> StreamEnd:
    """Asks the leader for the end of a stream. Raises an error of nats-py. Raises StreamRecreated as `end_without`."""
    info = await _info(client, stream)
    if created_at and (info.created != created_at or info.state.last_seq < after_sequence):
        raise StreamRecreated(stream)
    return StreamEnd(info.state.last_seq, info.cluster.leader if info.cluster else None)


async def _info(client: Client, stream: str) -> StreamInfo:
    js = jetstream_of(client, stream)
    return await retry_until_leader(lambda: js.stream_info(stream))


async def next_at_leader(client: Client, stream: str, filter: str, start_sequence: int) -> RawStreamMsg | None:
    """Returns the first message on a filter from a sequence on, from the leader. Raises an error of nats-py."""
    js = jetstream_of(client, stream)
    try:
        return await retry_until_leader(lambda: js.get_msg(stream, start_sequence, filter, next=True))
    except NotFoundError:
        return None


@asynccontextmanager
async def subscribed(
    client: Client, subject: str, receive: Callable[[Msg], Awaitable[None]]
) -> AsyncIterator[Subscription]:
    """Passes the messages on a subject to `receive`. No number of pending messages makes nats-py drop one."""
    subscription = await client.subscribe(subject, cb=receive, pending_msgs_limit=0, pending_bytes_limit=0)
    try:
        yield subscription
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()


async def decoded(
    batches: AsyncGenerator[list[StoredMessage], None],
    stream: Stream,
    *,
    skip: Callable[[UnreadableEvent], None] | None = None,
) -> AsyncGenerator[list[StoredEvent], None]:
    """Yields the events of the batches of a reader, which it closes at its own end.

    Raises UnreadableEvent at an event that cannot be decoded, after all events before it. With `skip`, such events are
    left out and passed to it: give it only if a missing event does no harm.
    """
    async with aclosing(batches):
        async for batch in batches:
            events: list[StoredEvent] = []
            for message in batch:
                try:
                    events.append(stored_event_of_raw(message, stream.name))
                except UnreadableEvent as error:
                    if skip is None:
                        yield events
                        raise
                    skip(error)
            yield events


def is_ending(client: Client) -> bool:
    """Returns whether the connection is closed or being closed."""
    return client.is_closed or client.is_draining


async def wait_until_cancelled() -> None:
    """Waits without an end."""
    if (task := asyncio.current_task()) and task.cancelling():  # nats-py turned the cancellation into its own error
        raise asyncio.CancelledError
    await asyncio.get_running_loop().create_future()
