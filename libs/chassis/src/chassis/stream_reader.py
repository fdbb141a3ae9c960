"""Reading a stream in its order, without leaving anything on the server.

| function | reads | ends |
|---|---|---|
| `follow`, `follow_events` | stored messages and then new ones, as they come | never, or at a given sequence |
| `read` | stored messages up to a sequence, with back-pressure | at that sequence |

All use consumers in the server's memory, without acknowledgements. The server numbers what it delivers to a consumer; a
gap in these numbers means that a message was lost on the way. `chassis.direct_get` reads pages without a consumer.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from chassis.stored_event import StoredEvent, stored_event_of, unreadable
from chassis.unreadable import UnreadableEvent
from contracts import InvalidMessage
from contracts.streams import Stream

BATCH = 500
_IDLE_SECONDS = 2.0
_INACTIVE_SECONDS = 30.0
_SILENCE_SECONDS = 10.0
_MAX_PAUSE_SECONDS = 5.0

logger = structlog.get_logger()


class Incomplete(Exception):
    """A message was lost between the server and this process, or the server stopped sending."""


async def last_sequence(client: Client, stream: str) -> int:
    """Returns the sequence of the newest message that the stream has or had. Raises nats.js.errors.NotFoundError."""
    return (await client.jetstream().stream_info(stream)).state.last_seq


async def follow(
    client: Client,
    stream: Stream,
    filters: Sequence[str],
    *,
    start_sequence: int,
    end_sequence: int | None = None,
    inactive_seconds: float = _INACTIVE_SECONDS,
) -> AsyncGenerator[list[Msg], None]:
    """Yields the messages on `filters` from `start_sequence` on, in batches, each message exactly once.

    After a gap or a failure it asks the server again for what follows the last message that it yielded. It ends after
    the first message at or beyond `end_sequence`; without one, close the generator to end it. Once the connection is
    being closed, it yields nothing more and waits until it is cancelled. The server removes the consumer
    `inactive_seconds` after the end.

    nats-py's ordered consumer is not used: if it is interrupted before its first message, it begins again at the head
    of the stream. Its pull subscriptions are not used, because they keep a connection from being drained.
    """
    failures = 0
    while not _is_ending(client):
        try:
            async with _push_consumer(client, stream, filters, start_sequence, inactive_seconds) as consumer:
                while end_sequence is None or start_sequence <= end_sequence:
                    messages = await consumer.next()
                    failures = 0
                    if messages:
                        start_sequence = messages[-1].metadata.sequence.stream + 1
                        yield messages
                return
        except (NatsError, TimeoutError, OSError, Incomplete) as error:
            await _pause(client, stream, failures, error)
            failures = min(failures + 1, 16)
    if (task := asyncio.current_task()) and task.cancelling():  # nats-py turned the cancellation into its own error
        raise asyncio.CancelledError
    await asyncio.get_running_loop().create_future()


async def follow_events(
    client: Client,
    stream: Stream,
    filters: Sequence[str],
    *,
    start_sequence: int,
    end_sequence: int | None = None,
    inactive_seconds: float = _INACTIVE_SECONDS,
    skip: Callable[[UnreadableEvent], None] | None = None,
) -> AsyncGenerator[list[StoredEvent], None]:
    """As `follow`, decoded. Raises UnreadableEvent at an event that cannot be decoded, after all events before it.

    With `skip`, such events are left out and passed to it: give it only if a missing event does no harm.
    """
    following = follow(
        client,
        stream,
        filters,
        start_sequence=start_sequence,
        end_sequence=end_sequence,
        inactive_seconds=inactive_seconds,
    )
    async with aclosing(following) as batches:
        async for batch in batches:
            events: list[StoredEvent] = []
            for message in batch:
                try:
                    events.append(stored_event_of(message))
                except InvalidMessage as error:
                    if skip is None:
                        yield events
                        raise unreadable(message, error) from error
                    skip(unreadable(message, error))
            yield events


def _is_ending(client: Client) -> bool:
    return client.is_closed or client.is_draining


async def _pause(client: Client, stream: Stream, failures: int, error: Exception) -> None:
    if _is_ending(client):
        return
    seconds = min(0.1 * 2**failures, _MAX_PAUSE_SECONDS)
    logger.warning("following_interrupted", stream=stream.name, again_in_seconds=seconds, error=repr(error))
    await asyncio.sleep(seconds)


class _PushConsumer:
    """The messages that the server pushes to one consumer, whose numbering is checked."""

    def __init__(self, client: Client, stream: Stream, name: str, received: asyncio.Queue[Msg]) -> None:
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._stream = stream
        self._name = name
        self._received = received
        self._delivered = 0

    async def next(self) -> list[Msg]:
        """Returns the messages that were received; an empty list if none arrives for a while.

        Raises Incomplete at a gap, and an error of nats-py if the server has lost the consumer.
        """
        try:
            messages = [await asyncio.wait_for(self._received.get(), _IDLE_SECONDS)]
        except TimeoutError:
            await self._check_silence()
            return []
        while not self._received.empty():
            messages.append(self._received.get_nowait())
        self._delivered = _check_numbering(messages, self._delivered)
        return messages

    async def _check_silence(self) -> None:
        """Asks the server whether it lost the consumer, or sent messages that did not arrive."""
        info = await self._js.consumer_info(self._stream.name, self._name)
        sent = info.delivered.consumer_seq if info.delivered else 0
        if sent > self._delivered + self._received.qsize():
            await asyncio.sleep(_IDLE_SECONDS)
            if sent > self._delivered + self._received.qsize():
                raise Incomplete(f"the server sent {sent} messages, {self._delivered} were received")


@asynccontextmanager
async def _push_consumer(
    client: Client, stream: Stream, filters: Sequence[str], start_sequence: int, inactive_seconds: float
) -> AsyncIterator[_PushConsumer]:
    received: asyncio.Queue[Msg] = asyncio.Queue()
    config = _consumer_config(filters, start_sequence, inactive_seconds)
    config.deliver_subject = client.new_inbox()
    subscription = await client.subscribe(config.deliver_subject, cb=received.put)
    try:
        made = await client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS).add_consumer(stream.name, config=config)
        yield _PushConsumer(client, stream, made.name, received)
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()


class PullReader:
    """The messages of one pull consumer, whose numbering is checked."""

    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription
        self._delivered = 0

    async def fetch(self, limit: int, timeout_seconds: float) -> list[Msg]:
        """Returns the stored messages, up to `limit`; an empty list if none arrives in time. Raises Incomplete.

        nats-py asks with ``no_wait`` and ``expires``: the server waits for a first message, sends what it has by then
        and ends the request. So a new message is returned at once, and a backlog in full batches.
        """
        try:
            messages = await self._subscription.fetch(limit, timeout=timeout_seconds)
        except TimeoutError:
            return []
        self._delivered = _check_numbering(messages, self._delivered)
        return messages

    async def pending(self) -> int:
        """Returns how many messages the server has not delivered yet. Raises NotFoundError if it lost the consumer."""
        return (await self._subscription.consumer_info()).num_pending or 0


@asynccontextmanager
async def pull_reader(
    client: Client,
    stream: str,
    filters: Sequence[str],
    *,
    start_sequence: int,
    headers_only: bool = False,
    inactive_seconds: float = 2 * _INACTIVE_SECONDS,
) -> AsyncIterator[PullReader]:
    """Opens a pull consumer on `filters` (none: all messages) from `start_sequence` on, and deletes it afterwards."""
    js, config = client.jetstream(), _consumer_config(filters, start_sequence, inactive_seconds)
    config.headers_only = headers_only or None
    subscription = await js.pull_subscribe("", stream=stream, config=config)
    try:
        yield PullReader(subscription)
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()
        with suppress(NatsError):
            await js.delete_consumer(stream, config.name or "")


async def read(
    client: Client,
    stream: str,
    filters: Sequence[str] = (),
    *,
    start_sequence: int = 1,
    end_sequence: int,
    headers_only: bool = False,
) -> AsyncGenerator[Msg, None]:
    """Yields the messages from `start_sequence` to `end_sequence`, both included. Raises Incomplete.

    With `headers_only`, bodies are empty.
    """
    reader_of = pull_reader(client, stream, filters, start_sequence=start_sequence, headers_only=headers_only)
    async with reader_of as reader:
        pending = await reader.pending()
        while pending:
            batch = await reader.fetch(min(BATCH, pending), _SILENCE_SECONDS)
            if not batch and await reader.pending():
                raise Incomplete(f"the server sent nothing for {_SILENCE_SECONDS:.0f} s")
            for message in batch:
                if message.metadata.sequence.stream > end_sequence:
                    return
                yield message
            pending = batch[-1].metadata.num_pending if batch else 0


def _check_numbering(messages: Sequence[Msg], delivered: int) -> int:
    """Returns how many messages the consumer has delivered now. Raises Incomplete at a gap."""
    for message in messages:
        delivered += 1
        if message.metadata.sequence.consumer != delivered:
            raise Incomplete(f"delivery {delivered} was lost, {message.metadata.sequence.consumer} followed")
    return delivered


def _consumer_config(filters: Sequence[str], start_sequence: int, inactive_seconds: float) -> ConsumerConfig:
    return ConsumerConfig(
        filter_subjects=list(filters) or None,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=max(start_sequence, 1),
        ack_policy=AckPolicy.NONE,
        inactive_threshold=inactive_seconds,
        mem_storage=True,
        num_replicas=1,
    )
