"""Messages of a stream as soon as they are stored: first those from a sequence on, then each new one as it arrives.

The server publishes each stored message again (`contracts.streams.Stream.live`), with its sequence. A subscription to
these subjects costs the server less than a consumer, but the server does not repeat what is lost: when the connection
is lost, when a leader ends after it stored a message, or when a node loses the connection to another one. `listen`
yields all messages in their order, or it raises `Incomplete`. Then the caller begins again.

**The beginning.** The subscription is made first, and then the leader is asked for the last sequence. The history is
read up to it, and live messages up to it are left out. So the history ends, however many messages are stored meanwhile.

**A lost message is found** in one of these ways.

1. After a reconnect, anything may be lost.
2. A message arrives whose sequence is not above that of the one before it, and it is no repetition: it is late.
3. Every `CHECK_SECONDS` the leader is asked where the stream ends. What was stored after the last checked message is
   listed by pages, and the leader is asked where the list is empty. A listed sequence that does not arrive within
   `GRACE_SECONDS` either is lost, unless it is among what this process has not read yet. If the stream is another one
   by then, all is lost.

**Why a check that finds nothing is a proof.** A page has no gap: it contains all stored messages up to its last one,
even if the answering node lags. So after the check, each message up to the last listed one has arrived. If the leader
has nothing more, the same is true up to the last sequence that the stream had before the leader was asked. The check
compares sequences, not numbers of messages, so a late message cannot take the place of a lost one. The next check
begins after the last listed message, so each stored message is in exactly one check.

Until it is checked, a message may follow a lost one. So a caller discards what it received, and begins again where it
began before. `chained` finds the loss at once where a decision depends on the messages of one chain.

A number of pending messages (``Nats-Num-Pending``) is not used: two requests may be answered by nodes that lag by
different amounts, and then a difference of such numbers may hide a loss.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import datetime
from functools import partial

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from chassis.background import run_in_background
from chassis.barrier import wait_until_processed
from chassis.direct_get import StoredMessage, get_page, stored_message
from chassis.event_log import GUARD_SEQUENCE
from chassis.leader_retry import retry_until_leader
from chassis.stream_scan import (
    BATCH,
    Scan,
    StreamRecreated,
    end_of,
    is_ending,
    next_at_leader,
    subscribed,
    wait_until_cancelled,
)
from chassis.subject_filters import matcher, merged
from contracts.streams import Stream

CHECK_SECONDS = 2.0
GRACE_SECONDS = 1.0
_RECONNECT_CHECK_SECONDS = 0.25
MAX_TOGETHER = 100
"""So few messages are listed on all subjects at once: one page, in place of two requests for each family."""
_ALL = ">"


class Incomplete(Exception):
    """A message was lost between the server and this process, or it is not certain that none was."""


async def listen(
    client: Client, stream: Stream, filters: Sequence[str], *, start_sequence: int
) -> AsyncGenerator[list[StoredMessage], None]:
    """Yields the messages on `filters` from `start_sequence` on, in batches, each exactly once and as soon as possible.

    Raises Incomplete; then begin again. Once the connection is being closed, it yields nothing more and waits until it
    is cancelled. Close the generator to end it.
    """
    listener, scan = _Listener(client, stream, filters), Scan(client, stream.name, filters, start_sequence)
    try:
        async with listener.is_subscribed():
            async with aclosing(scan.up_to(await scan.note_stream())) as pages:
                async for messages in pages:
                    yield messages
            async with listener.is_checked(scan):
                while True:
                    yield await listener.next()
    except (_Lost, StreamRecreated, NatsError, TimeoutError, OSError) as error:
        if not is_ending(client):
            raise Incomplete(str(error) or type(error).__name__) from error
    await wait_until_cancelled()


async def chained(
    batches: AsyncGenerator[list[StoredMessage], None], chain: str, *, end_sequence: int
) -> AsyncGenerator[list[StoredMessage], None]:
    """Yields the batches of `listen`, and raises Incomplete as soon as a message of a chain shows that one was lost.

    A chain is a literal subject on which each message is guarded by the one before it. So a message names the one
    before it, and a loss is found before the next check. Messages up to `end_sequence` are not
    compared: a history has no gap, but the archive may have removed messages from it. Imported messages have no guard.
    """
    last_sequence = 0
    async with aclosing(batches):
        async for batch in batches:
            for message in batch:
                if message.subject != chain:
                    continue
                guard = message.headers.get(GUARD_SEQUENCE)
                if guard is not None and message.seq > end_sequence and guard != str(last_sequence):
                    raise Incomplete(f"{chain} {message.seq} follows {guard}, which did not arrive")
                last_sequence = message.seq
            yield batch


class _Lost(Exception):
    """A message was lost."""


class _Listener:
    """The live messages of one subscription per filter, and what has arrived since the last check."""

    def __init__(self, client: Client, stream: Stream, filters: Sequence[str]) -> None:
        self._client = client
        self._stream = stream
        self._filters = filters
        self._matches = matcher(filters)
        self._subscriptions: list[Subscription] = []
        self._reconnects = client.stats["reconnects"]
        self._queue: list[StoredMessage] = []
        self._has_news = asyncio.Event()
        self._failure: Exception | None = None
        self._last_sequence = 0
        self._arrived: set[int] = set()
        """The sequences that have arrived, of those after `_end_sequence`."""
        self._end_sequence = 0
        self._created_at: datetime | None = None
        self._checked: dict[str, int] = {}
        """Up to which sequence each filter has been compared with the stream."""

    @asynccontextmanager
    async def is_subscribed(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for filter in self._filters:
                subscription = subscribed(self._client, self._stream.live(filter), self._receive)
                self._subscriptions.append(await stack.enter_async_context(subscription))
            await wait_until_processed(self._client)
            yield

    async def _receive(self, message: Msg) -> None:
        stored = stored_message(message)
        if stored.seq > self._end_sequence and stored.seq not in self._arrived:
            self._arrived.add(stored.seq)
            self._queue.append(stored)
            self._has_news.set()

    @asynccontextmanager
    async def is_checked(self, history: Scan) -> AsyncIterator[None]:
        """Compares what arrives after the history with the stream while the block runs."""
        end_sequence, self._created_at = history.scanned_sequence, history.created_at
        self._checked = dict.fromkeys(merged(self._filters), end_sequence)
        self._last_sequence = end_sequence
        self._queue = [message for message in self._queue if message.seq > end_sequence]
        self._forget(end_sequence)
        async with run_in_background(self._check_until_failure()):
            yield

    async def next(self) -> list[StoredMessage]:
        """Returns the messages that have arrived, in the order of the stream. Raises _Lost."""
        while True:
            await self._has_news.wait()
            await self._pass_on_pending()
            self._has_news.clear()
            self._check_connection()
            if self._failure:
                raise self._failure
            messages, self._queue = self._queue, []
            if messages:
                messages.sort(key=lambda message: message.seq)
                if messages[0].seq <= self._last_sequence:
                    raise _Lost(f"message {messages[0].seq} arrived after {self._last_sequence}")
                self._last_sequence = messages[-1].seq
                return messages

    async def _pass_on_pending(self) -> None:
        """Waits until all parsed messages are in the queue: nats-py passes on those of each subscription by itself."""
        while any(subscription.pending_msgs for subscription in self._subscriptions):  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _check_connection(self) -> None:
        if self._client.stats["reconnects"] != self._reconnects:
            raise _Lost("the connection was interrupted")

    async def _check_until_failure(self) -> None:
        clock = asyncio.get_running_loop().time
        next_check_at = clock() + CHECK_SECONDS
        try:
            while True:
                await asyncio.sleep(_RECONNECT_CHECK_SECONDS)
                self._check_connection()
                if clock() >= next_check_at:
                    await self._check()
                    next_check_at = clock() + CHECK_SECONDS
        except Exception as error:  # noqa: BLE001  without checks, nothing may be yielded any more
            self._failure = error
            self._has_news.set()
        await asyncio.get_running_loop().create_future()

    async def _check(self) -> None:
        """Compares what is stored after the last check with what has arrived. Raises _Lost, or an error of nats-py."""
        name, listed, without, begin = self._stream.name, set[int](), list[str](), min(self._checked.values())
        end = await end_of(self._client, name, max(self._checked.values()), created_at=self._created_at)
        reached = {_ALL: begin} if end.sequence - begin <= MAX_TOGETHER else dict(self._checked)
        for filter, after_sequence in [*reached.items()]:
            if after_sequence >= end.sequence:
                continue
            sequences, reached[filter] = await self._list(filter, after_sequence)
            listed |= sequences
            if reached[filter] == after_sequence:
                without.append(filter)
        if without and (await end_of(self._client, name, created_at=self._created_at)).leader == end.leader:
            reached |= dict.fromkeys(without, end.sequence)
        checked = {
            one: max(sequence, reached.get(one, reached.get(_ALL, 0))) for one, sequence in self._checked.items()
        }
        if missing := listed - self._arrived:
            await asyncio.sleep(GRACE_SECONDS)
            await wait_until_processed(self._client)  # this process may have stood still, and not have read them
            await self._pass_on_pending()
            if missing := missing - self._arrived:
                raise _Lost(f"message {min(missing)} of {self._stream.name} did not arrive")
        self._checked = checked
        self._forget(min(checked.values()))

    def _forget(self, end_sequence: int) -> None:
        """Drops the sequences up to this one: every message up to it has arrived."""
        self._end_sequence = end_sequence
        self._arrived = {sequence for sequence in self._arrived if sequence > end_sequence}

    async def _list(self, filter: str, after_sequence: int) -> tuple[set[int], int]:
        """Returns the sequences of stored messages, and up to which one these are all.

        The latter is `after_sequence` if the leader has nothing more on the filter.
        """
        name, sequences = self._stream.name, set[int]()
        while True:
            request = partial(get_page, self._client, name, filter, start_sequence=after_sequence + 1, limit=BATCH)
            page = await retry_until_leader(request)
            sequences |= {message.seq for message in page.messages if self._matches(message.subject)}
            if page.messages:
                after_sequence = page.messages[-1].seq
            if not page.has_more:
                break
        if page.messages:
            return sequences, after_sequence
        found = await next_at_leader(self._client, name, filter, after_sequence + 1)
        if found and self._matches(found.subject or ""):
            sequences.add(found.seq or 0)
        return sequences, (found.seq or 0) if found else after_sequence
