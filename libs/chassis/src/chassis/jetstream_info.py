"""What JetStream says of each stream, bucket and durable consumer of the contracts: its settings and its state.

The answers are those of the wire: nats-py leaves out parts of them. Their cost does not depend on the messages stored.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.accounts import api_subject
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS

ANSWER_SECONDS = 5
UNANSWERED = "unanswered"
"""In place of an answer: the name of the error. A user without the permission gets no answer, either."""

Info = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JetStreamInfo:
    """The answers by the name of the stream or the consumer."""

    streams: Mapping[str, Info]
    consumers: Mapping[str, Info]


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream contains, and who keeps it. `max_bytes` is None without a limit, `leader` on a single node."""

    name: str
    messages: int
    bytes: int
    max_bytes: int | None
    replicas: int
    current_replicas: int
    leader: str | None


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """What a durable consumer has still to deliver, and what its service has received and not acknowledged.

    `ack_floor`: all messages up to this sequence of the stream are acknowledged.
    """

    name: str
    stream: str
    pending: int
    unacknowledged: int
    redelivered: int
    is_subscribed: bool
    ack_floor: int


async def read_info(client: Client) -> JetStreamInfo:
    """Returns what the server says of everything that the contracts define."""
    streams = [(stream.name, api_subject("STREAM.INFO", stream.name)) for stream in WATCHED_STREAMS]
    consumers = [(one.name, api_subject("CONSUMER.INFO", one.stream.name, one.name)) for one in CONSUMERS]
    answers = await asyncio.gather(*(ask(client, subject) for _, subject in (*streams, *consumers)))
    names = [name for name, _ in (*streams, *consumers)]
    found = list(zip(names, answers, strict=True))
    return JetStreamInfo(dict(found[: len(streams)]), dict(found[len(streams) :]))


async def ask(client: Client, subject: str) -> Info:
    """Returns the answer of the JetStream API, which may be an error; with `UNANSWERED` if none came."""
    try:
        answer = await client.request(subject, b"", timeout=ANSWER_SECONDS)
    except NatsError as error:
        return {UNANSWERED: type(error).__name__}
    body: dict[str, Any] = json.loads(answer.data)
    return body


def stream_states(info: JetStreamInfo) -> list[StreamState]:
    """Returns the state of each stream and bucket that exists, in the order of the contracts."""
    return [_stream_state(name, answer) for name, answer in info.streams.items() if "config" in answer]


def consumer_states(info: JetStreamInfo) -> list[ConsumerState]:
    """Returns the state of each durable consumer that exists, in the order of the contracts."""
    return [_consumer_state(name, answer) for name, answer in info.consumers.items() if "config" in answer]


def _stream_state(name: str, answer: Info) -> StreamState:
    cluster = answer.get("cluster") or {}
    followers = cluster.get("replicas") or ()
    limit = answer["config"].get("max_bytes", -1)
    return StreamState(
        name=name,
        messages=answer["state"]["messages"],
        bytes=answer["state"]["bytes"],
        max_bytes=limit if limit > 0 else None,
        replicas=answer["config"].get("num_replicas", 1),
        current_replicas=1 + sum(bool(one.get("current")) for one in followers),
        leader=cluster.get("leader"),
    )


def _consumer_state(name: str, answer: Info) -> ConsumerState:
    return ConsumerState(
        name=name,
        stream=answer["stream_name"],
        pending=answer["num_pending"],
        unacknowledged=answer["num_ack_pending"],
        redelivered=answer["num_redelivered"],
        is_subscribed=bool(answer.get("push_bound")),
        ack_floor=answer["ack_floor"]["stream_seq"],
    )
