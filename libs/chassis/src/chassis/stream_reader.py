"""Reading a stream in its own order from some place on: what stands in it already, and what comes, without an end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from contracts.streams import Stream

logger = structlog.get_logger()

_IDLE_SECONDS = 2.0
_FORGOTTEN_AFTER_SECONDS = 30.0
_MAX_PAUSE_SECONDS = 5.0


class _Gap(Exception):
    """A message was lost between the server and here."""


async def follow(
    client: Client,
    stream: Stream,
    filters: Sequence[str],
    *,
    start: int,
    forgotten_after: float = _FORGOTTEN_AFTER_SECONDS,
) -> AsyncGenerator[list[Msg], None]:
    """Messages on `filters` from the sequence `start` on, in batches as they come.

    Each comes exactly once: the server numbers what it delivers, and after a gap or any failure it is asked again for
    what follows the last one that was handed out. (nats-py's ordered consumer begins again at the head of the stream if
    it is interrupted before its first message; its pull subscriptions keep a connection from being drained.) Close the
    generator to end it; on a connection that is being closed nothing comes any more.
    """
    failures = 0
    while not _is_ending(client):
        try:
            async with _consumer(client, stream, filters, start, forgotten_after) as consumer:
                while True:
                    messages = await consumer.next()
                    failures = 0
                    if messages:
                        start = messages[-1].metadata.sequence.stream + 1
                        yield messages
        except (NatsError, TimeoutError, OSError, _Gap) as error:
            await _pause(client, stream, failures, error)
            failures = min(failures + 1, 16)
    if (task := asyncio.current_task()) and task.cancelling():  # of which nats-py has made an error of its own
        raise asyncio.CancelledError
    await asyncio.get_running_loop().create_future()


def _is_ending(client: Client) -> bool:
    return client.is_closed or client.is_draining


async def _pause(client: Client, stream: Stream, failures: int, error: Exception) -> None:
    if _is_ending(client):
        return
    seconds = min(0.1 * 2**failures, _MAX_PAUSE_SECONDS)
    logger.warning("following_interrupted", stream=stream.name, again_in_seconds=seconds, error=repr(error))
    await asyncio.sleep(seconds)


class _Consumer:
    """A push consumer of its own, without acknowledgements, whose numbering is checked."""

    def __init__(self, client: Client, stream: Stream, name: str, arrived: asyncio.Queue[Msg]) -> None:
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._stream = stream
        self._name = name
        self._arrived = arrived
        self._delivered = 0

    async def next(self) -> list[Msg]:
        """What has come; empty if nothing came for a while. Raises _Gap, or what tells that the consumer is gone."""
        try:
            messages = [await asyncio.wait_for(self._arrived.get(), _IDLE_SECONDS)]
        except TimeoutError:
            await self._is_complete()
            return []
        while not self._arrived.empty():
            messages.append(self._arrived.get_nowait())
        for message in messages:
            self._delivered += 1
            if message.metadata.sequence.consumer != self._delivered:
                raise _Gap(f"expected delivery {self._delivered}, got {message.metadata.sequence.consumer}")
        return messages

    async def _is_complete(self) -> None:
        """A consumer that the server has lost is silent, and so is one whose last messages were: here both raise."""
        info = await self._js.consumer_info(self._stream.name, self._name)
        sent = info.delivered.consumer_seq if info.delivered else 0
        if sent > self._delivered + self._arrived.qsize():
            await asyncio.sleep(_IDLE_SECONDS)
            if sent > self._delivered + self._arrived.qsize():
                raise _Gap(f"{sent} were sent, {self._delivered} have come")


@asynccontextmanager
async def _consumer(
    client: Client, stream: Stream, filters: Sequence[str], start: int, forgotten_after: float
) -> AsyncIterator[_Consumer]:
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = client.new_inbox()
    config = ConsumerConfig(
        deliver_subject=inbox,
        filter_subjects=list(filters),
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=max(start, 1),
        ack_policy=AckPolicy.NONE,
        inactive_threshold=forgotten_after,
        mem_storage=True,
        num_replicas=1,
    )
    subscription = await client.subscribe(inbox, cb=arrived.put)
    try:
        made = await client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS).add_consumer(stream.name, config=config)
        yield _Consumer(client, stream, made.name, arrived)
        # The server forgets it when nobody listens.
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()
