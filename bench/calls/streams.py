"""What the streams on the server contain: messages, bytes and last sequences; and messages read one by one."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError

from contracts.accounts import CENTRAL, account_of_stream
from contracts.buckets import WATCHED_STREAMS

LOG = "CALLS"
REQUESTS = "REQUESTS"
_OWNERS = sorted({account_of_stream(stream.name) for stream in WATCHED_STREAMS} - {CENTRAL})
_APIS = ("$JS.API", *(f"$JS.{owner}.API" for owner in _OWNERS))
"""The prefixes under which admin finds the streams of each account."""


@dataclass(frozen=True)
class StreamState:
    """The state of one stream."""

    messages: int
    bytes: int
    last_sequence: int
    api: str
    """The prefix of its API: that of its account. A checkout from before the accounts has one for all streams."""


@dataclass(frozen=True)
class StoredMessage:
    """One message of a stream, as the server has stored it: the header block is that of the wire, or empty."""

    stream: str
    sequence: int
    subject: str
    header: bytes
    body: bytes
    stored_at: str = ""


async def request(client: Client, subject: str, body: object = None, *, timeout: float = 60) -> dict[str, Any]:
    """Sends a request to JetStream and returns its answer. Raises RuntimeError if the answer is an error."""
    data = json.dumps(body).encode() if body is not None else b""
    answer: dict[str, Any] = json.loads((await client.request(subject, data, timeout=timeout)).data)
    if "error" in answer:
        raise RuntimeError(f"{subject}: {answer['error']['description']}")
    return answer


async def stream_states(client: Client) -> dict[str, StreamState]:
    """Returns the state of each stream, buckets included."""
    found: dict[str, StreamState] = {}
    for prefix in _APIS:
        with suppress(NoRespondersError):
            for one in (await request(client, f"{prefix}.STREAM.LIST"))["streams"] or ():
                state = one["state"]
                numbers = (state["messages"], state["bytes"], state["last_seq"])
                found[one["config"]["name"]] = StreamState(*numbers, prefix)
    return found


async def read_stream(client: Client, stream: str, *, after_sequence: int = 0) -> AsyncIterator[StoredMessage]:
    """Yields the messages of a stream in order."""
    sequence, prefix = after_sequence + 1, (await stream_states(client))[stream].api
    while True:
        body = json.dumps({"seq": sequence, "next_by_subj": ">"}).encode()
        answer = json.loads((await client.request(f"{prefix}.STREAM.MSG.GET.{stream}", body, timeout=60)).data)
        if "error" in answer:
            return
        message = answer["message"]
        header, content = b64decode(message.get("hdrs", "")), b64decode(message.get("data", ""))
        yield StoredMessage(stream, message["seq"], message["subject"], header, content, message["time"])
        sequence = message["seq"] + 1


async def move_consumers(client: Client) -> None:
    """Lets every durable consumer begin after the last message of its stream, as if it had handled all of them.

    Consumers of services that have ended are deleted.
    """
    for stream, state in (await stream_states(client)).items():
        for consumer in (await request(client, f"{state.api}.CONSUMER.LIST.{stream}"))["consumers"]:
            begin = {"deliver_policy": "by_start_sequence", "opt_start_seq": state.last_sequence + 1}
            config, name = {**consumer["config"], **begin}, consumer["name"]
            await request(client, f"{state.api}.CONSUMER.DELETE.{stream}.{name}")
            if "durable_name" in config:
                body = {"stream_name": stream, "config": config}
                await request(client, f"{state.api}.CONSUMER.DURABLE.CREATE.{stream}.{name}", body)


async def wait_until_stored(client: Client, counts: Mapping[str, int], *, seconds: float = 120) -> None:
    """Returns when each stream has at least this many messages. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            states = await stream_states(client)
            if all(states[name].messages >= count for name, count in counts.items()):
                return
            await asyncio.sleep(0.2)


def total_published(states: Mapping[str, StreamState], before: Mapping[str, StreamState]) -> int:
    """Returns the messages that all streams have stored since."""
    return sum(state.last_sequence - before[name].last_sequence for name, state in states.items() if name in before)


def header_bytes(messages: Sequence[StoredMessage]) -> int:
    """Returns the bytes of all header blocks."""
    return sum(len(message.header) for message in messages)
