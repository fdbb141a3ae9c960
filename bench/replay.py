"""Fold and rebuild, each compared with reading the same messages by nats-py alone in the same run."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import nats
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from centralita.replay.rebuilding import rebuild
from centralita.replay.record import fold
from chassis.event_log import EventLog
from chassis.provision import provision
from chassis.stream_reader import BATCH, last_sequence, read
from contracts import CallDecision
from contracts.examples import EXAMPLES
from contracts.streams import CALLS
from records.messages import EVENT_FILTERS, Message

CALLS_IN_LOG = 100
HISTORY = (
    "call.created",
    "dial.claimed",
    "dial.placed",
    "call.status_changed",
    "telephony.status_reported",
    "speech.heard",
    "audio.requested",
    "reply.generated",
    "conversation.ended",
    "call.concluded",
)
Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operation and its baseline, each on `size` messages."""

    name: str
    baseline: str
    measured: Work
    baseline_work: Work
    size: int


@asynccontextmanager
async def log_comparisons(nats_url: str, mongo_url: str) -> AsyncIterator[list[Comparison]]:
    """Writes a log of 100 calls with ten events each, and yields the comparisons on it."""
    client = await nats.connect(nats_url)
    js = client.jetstream()
    await provision(client)
    await js.purge_stream(CALLS.name)
    await _write_log(client)
    size = CALLS_IN_LOG * len(HISTORY)
    end = await last_sequence(client, CALLS.name)

    async def bare_read() -> None:
        assert await _bare_read(client) == size

    async def fold_log() -> None:
        delivered = read(client, CALLS.name, EVENT_FILTERS, end_sequence=end)
        messages = [Message.of(one) async for one in delivered]
        assert len(fold(messages)) == CALLS_IN_LOG

    async def rebuild_documents() -> None:
        result = await rebuild(client, mongo_url, f"bench_{uuid4().hex}")
        assert result.documents == CALLS_IN_LOG + 2

    reading = "reading the same messages by nats-py alone"
    try:
        yield [
            Comparison("fold of the log, a message", reading, fold_log, bare_read, size),
            Comparison("rebuild of MongoDB (embedded), a message", reading, rebuild_documents, bare_read, size),
        ]
    finally:
        await client.close()


async def _write_log(client: Client) -> None:
    log = EventLog(client, CALLS.name, source="bench")
    for _ in range(CALLS_IN_LOG):
        call_id = uuid4()
        for name in HISTORY:
            event = EXAMPLES[name]
            if isinstance(event, CallDecision):
                await log.append(event.model_copy(update={"call": event.call.model_copy(update={"call_id": call_id})}))
            else:
                await log.append(event.model_copy(update={"call_id": call_id}))


async def _bare_read(client: Client) -> int:
    """Reads the stream once with a plain pull consumer and returns the number of messages."""
    js = client.jetstream()
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, mem_storage=True)
    subscription = await js.pull_subscribe("", stream=CALLS.name, config=config)
    count, pending = 0, 1
    while pending:
        messages = await subscription.fetch(BATCH, timeout=10)
        count += len(messages)
        pending = messages[-1].metadata.num_pending
    await subscription.unsubscribe()
    return count
