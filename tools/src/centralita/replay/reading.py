"""Reading a stream in order from a sequence on, without leaving a consumer on the server.

Uses pull consumers without acknowledgements and checks their numbering: a gap means that a message was lost.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from centralita.replay.messages import Message

BATCH = 500
ANSWER_SECONDS = 10.0
_INACTIVE_SECONDS = 60.0

Subscription = JetStreamContext.PullSubscription


class Incomplete(RuntimeError):
    """Not every message arrived: what was read so far is not the whole log."""


async def last_sequence(client: Client, stream: str) -> int:
    """Returns the sequence of the newest message that the stream has or had. Raises nats.js.errors.NotFoundError."""
    return (await client.jetstream().stream_info(stream)).state.last_seq


async def read(
    client: Client, stream: str, *, filters: Sequence[str] = (), start: int = 1, upto: int, headers_only: bool = False
) -> AsyncIterator[Message]:
    """Yields the messages from `start` to `upto`, both included, on these filters (none: all). Raises Incomplete.

    `headers_only`: with empty bodies.
    """
    async with _consumer(client, stream, filters, start, headers_only) as subscription:
        pending, delivered = (await subscription.consumer_info()).num_pending or 0, 0
        while pending:
            batch = await _fetch(subscription, min(BATCH, pending), ANSWER_SECONDS, delivered)
            if not batch and (await subscription.consumer_info()).num_pending:
                raise Incomplete(f"the server sent nothing for {ANSWER_SECONDS:.0f} s")
            for raw in batch:
                if raw.metadata.sequence.stream > upto:
                    return
                yield message_of(raw)
            delivered += len(batch)
            pending = batch[-1].metadata.num_pending if batch else 0


@asynccontextmanager
async def _consumer(
    client: Client, stream: str, filters: Sequence[str], start: int, headers_only: bool
) -> AsyncIterator[Subscription]:
    js = client.jetstream()
    config = ConsumerConfig(
        filter_subjects=list(filters) or None,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        ack_policy=AckPolicy.NONE,
        headers_only=headers_only or None,
        inactive_threshold=_INACTIVE_SECONDS,
        mem_storage=True,
        num_replicas=1,
    )
    subscription = await js.pull_subscribe("", stream=stream, config=config)
    try:
        yield subscription
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()
        with suppress(NatsError):
            await js.delete_consumer(stream, config.name or "")


async def _fetch(subscription: Subscription, size: int, timeout: float, delivered: int) -> list[Msg]:
    """Returns up to `size` messages; none if none arrived in time. Raises Incomplete at a gap after `delivered`."""
    try:
        batch = await subscription.fetch(size, timeout=timeout)
    except TimeoutError:
        return []
    if [raw.metadata.sequence.consumer for raw in batch] != list(range(delivered + 1, delivered + 1 + len(batch))):
        raise Incomplete("a message was lost between the server and here")
    return batch


def message_of(raw: Msg) -> Message:
    """Returns a delivered message as a `Message`."""
    metadata = raw.metadata
    return Message(
        metadata.stream, metadata.sequence.stream, metadata.timestamp, raw.subject, dict(raw.headers or {}), raw.data
    )
