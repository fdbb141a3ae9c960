"""Steps of the commands that replace a stream while no service runs: `chassis.migrate` and `centralita seal`.

A stream cannot be renamed. So it is deleted and created again as a mirror of its copy, which keeps all sequences. A
mirror that is complete becomes a stream of its own. Its consumers continue where they were.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo, StreamSource
from nats.js.errors import NotFoundError, ServerError

from chassis.provision import consumer_config
from contracts.consumers import CONSUMERS
from contracts.streams import ARCHIVE_ID, ARCHIVED_SEQUENCE

_CONNECTIONS = "$SYS.REQ.ACCOUNT.PING.CONNZ"
"""Each server replies with the connections of the account that asks."""
_STILL_REMOVING = 10049
_PAUSE_SECONDS, _ANSWERS_SECONDS = 0.2, 1.0


async def other_clients(client: Client) -> list[str]:
    """Returns the names of the other clients that are connected to the account of `client`."""
    inbox = await client.subscribe(client.new_inbox())
    await client.publish(_CONNECTIONS, b"{}", reply=inbox.subject)
    connections: list[dict[str, Any]] = []
    with suppress(NatsTimeoutError):
        while True:
            answer = await inbox.next_msg(timeout=_ANSWERS_SECONDS)
            connections += json.loads(answer.data)["data"]["connections"]
    await inbox.unsubscribe()
    identity = (client.client_id, client.options["name"])  # the number alone is that of another client on another node
    own = next((one for one in connections if (one["cid"], one.get("name")) == identity), None)
    return sorted(str(one.get("name") or f"{one['ip']}:{one['port']}") for one in connections if one is not own)


async def find_stream(js: JetStreamContext, stream: str) -> StreamInfo | None:
    """Returns what the server knows about a stream; None if there is none."""
    with suppress(NotFoundError):
        return await js.stream_info(stream)
    return None


async def create_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Creates a stream, also if the server still removes the files of a deleted one with this name."""
    while True:
        try:
            await js.add_stream(config)
            return
        except ServerError as error:
            if error.err_code != _STILL_REMOVING:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


def as_mirror(config: StreamConfig, origin: str) -> StreamConfig:
    """Returns the configuration of a stream while it is a mirror of another one."""
    return replace(config, mirror=StreamSource(name=origin), subjects=None, sources=None, republish=None)


async def wait_until_equal(js: JetStreamContext, mirror: str, origin: str) -> int:
    """Returns the last sequence of a mirror that has all messages. Deleted messages at the end have no copy."""
    while True:
        here, there = await js.stream_info(mirror), await js.stream_info(origin)
        if here.state.messages == there.state.messages:
            return here.state.last_seq
        await asyncio.sleep(_PAUSE_SECONDS)


async def positions_of_consumers(
    js: JetStreamContext, stream: str, end_sequence: int
) -> AsyncIterator[tuple[str, int]]:
    """Yields each consumer of a stream with the sequence from which it continues."""
    for info in await js.consumers_info(stream):
        floor = info.ack_floor.stream_seq if info.ack_floor else 0
        is_done = not info.num_pending and not info.num_ack_pending
        yield info.name, (end_sequence if is_done else min(floor, end_sequence)) + 1


async def create_consumers(js: JetStreamContext, stream: str, positions: Mapping[str, int]) -> None:
    """Creates the durable consumers of a stream that had positions, each at its position, unless it exists."""
    existing = {info.name for info in await js.consumers_info(stream)}
    for consumer in CONSUMERS:
        if consumer.stream.name == stream and consumer.name in positions and consumer.name not in existing:
            await js.add_consumer(stream, config=consumer_config(consumer, start_sequence=positions[consumer.name]))


def archive_metadata(stream: StreamInfo) -> dict[str, str]:
    """Returns the metadata that names the archive of the stream; empty if it has none."""
    metadata = stream.config.metadata or {}
    return {name: metadata[name] for name in (ARCHIVE_ID, ARCHIVED_SEQUENCE) if name in metadata}
