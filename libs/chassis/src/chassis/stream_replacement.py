"""Steps of the commands that replace a stream while no service runs: `chassis.migrate` and `centralita seal`.

A stream cannot be renamed. So it is deleted and created again as a mirror of its copy, which keeps all sequences. A
mirror that is complete becomes a stream of its own. Its consumers continue where they were.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo, StreamSource
from nats.js.errors import ServerError

from chassis.provision import consumer_config
from contracts.accounts import CENTRAL, account_of
from contracts.consumers import CONSUMERS
from contracts.imports import CONNECTIONS
from contracts.permissions import users
from contracts.streams import ARCHIVE_ID, ARCHIVED_SEQUENCE

_OWN_CONNECTIONS = "$SYS.REQ.ACCOUNT.PING.CONNZ"
"""Each server replies with the connections of the account that asks."""
_NO_RESPONDERS = "503"
_STILL_REMOVING = 10049
_PAUSE_SECONDS, _ANSWERS_SECONDS, _MAX_ANSWERS_SECONDS = 0.2, 1.0, 20.0


async def other_clients(client: Client) -> list[str]:
    """Returns the names of the other clients that are connected to the server, or to any server of its cluster.

    The server lists the connections of one account. So it is asked about each account of the contracts; a server that
    does not have the account has no service in it. An account about which a server does not answer counts as a client.
    """
    accounts = sorted({account_of(user.name) for user in users()} - {CENTRAL})
    inbox = client.new_inbox()
    subscription = await client.subscribe(f"{inbox}.*")
    for account in accounts:
        await client.publish(CONNECTIONS.replace("*", account), b"{}", reply=f"{inbox}.{account}")
    await client.publish(_OWN_CONNECTIONS, b"{}", reply=f"{inbox}.{CENTRAL}")
    found = await _connections([*accounts, CENTRAL], subscription)
    await subscription.unsubscribe()
    identity = (client.client_id, client.options["name"])  # the number alone is that of another client on another node
    own = next((one for one in found.connections if (one["cid"], one.get("name")) == identity), None)
    others = [str(one.get("name") or f"{one['ip']}:{one['port']}") for one in found.connections if one is not own]
    return sorted(others) + [f"clients of the account {account} (no answer)" for account in found.unanswered()]


@dataclass(slots=True)
class _Connections:
    """The connections of accounts, and the servers that have answered about each; None: no server has the account."""

    servers: dict[str, set[str] | None]
    connections: list[dict[str, Any]] = field(default_factory=list)

    def unanswered(self) -> list[str]:
        """Returns the accounts about which a server has not answered that has answered about another one."""
        known = set[str]().union(*(servers for servers in self.servers.values() if servers))
        return [
            account
            for account, servers in self.servers.items()
            if servers is not None and (servers != known or not servers)
        ]

    def add(self, message: Msg) -> None:
        """Adds an answer."""
        account = message.subject.rpartition(".")[2]
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            if account != CENTRAL:
                self.servers[account] = None
            return
        answer = json.loads(message.data)
        self.connections += answer["data"]["connections"] or []
        self.servers[account] = (self.servers[account] or set()) | {answer["server"]["id"]}


async def _connections(accounts: Iterable[str], subscription: Subscription) -> _Connections:
    """Returns what the servers answer, once none has answered for a while and no answer is missing."""
    found, clock = _Connections({account: set() for account in accounts}), asyncio.get_running_loop().time
    deadline = clock() + _MAX_ANSWERS_SECONDS
    while clock() < deadline:
        try:
            found.add(await subscription.next_msg(timeout=_ANSWERS_SECONDS))
        except NatsTimeoutError:
            if not found.unanswered():
                break
    return found


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
