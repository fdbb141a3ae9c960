"""Three real nats-servers as one cluster on loopback, each of which can be killed and started again.

Everything else is as with the one embedded server (`embedded.servers`): our users and permissions are in force, and
the kernel chooses the ports. A node keeps its ports while it is down, as a machine keeps its address.
"""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from centralita.embedded.credentials import Credentials
from centralita.embedded.servers import START_SECONDS, CannotStart, program
from contracts.nats_configuration import configuration
from contracts.streams import STREAMS

NODES = 3


@dataclass
class Node:
    """One server of the cluster."""

    name: str
    folder: Path
    client_port: int
    route_port: int
    health_port: int
    environment: Mapping[str, str] = field(repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens; names no user."""
        return f"nats://127.0.0.1:{self.client_port}"

    def start(self) -> None:
        """Starts it, also after `kill`, on what it had on its disk."""
        with (self.folder / "nats-server.log").open("ab") as output:
            self._process = self._run(output)

    def kill(self) -> None:
        """``kill -9``, as an accident would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def is_healthy(self) -> bool:
        """Whether it has caught up with the others: only then may the next one fail. Raises CannotStart if it ended."""
        if self._process and (code := self._process.poll()) is not None:
            raise CannotStart(f"nats-server {self.name} ended with code {code}: see {self.folder}")
        try:
            return self._asked("healthz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def leads_all(self) -> bool:
        """Whether it leads the cluster and sees every other node: before that, no stream finds its places."""
        found = self._asked("jsz").json().get("meta_cluster", {}).get("replicas") or []
        return len([peer for peer in found if peer["current"] and not peer.get("offline")]) == NODES - 1

    def wait_until_healthy(self) -> None:
        """Waits until `is_healthy`. Raises CannotStart."""
        deadline = time.monotonic() + START_SECONDS
        while not self.is_healthy():
            if time.monotonic() > deadline:
                raise CannotStart(f"nats-server {self.name} is not healthy after {START_SECONDS} s: see {self.folder}")
            time.sleep(0.05)

    def _asked(self, what: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.health_port}/{what}", timeout=2)

    def _run(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [program("nats-server"), "--config", str(self.folder / "nats.conf")]
        return subprocess.Popen(
            command, env=dict(self.environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


@dataclass(frozen=True)
class Cluster:
    """The nodes, by name."""

    nodes: Mapping[str, Node]

    @property
    def url(self) -> str:
        """All addresses, as NATS_URL takes them; names no user."""
        return ",".join(node.url for node in self.nodes.values())

    def wait_until_formed(self) -> None:
        """Waits until all nodes are healthy, and one leads all others. Raises CannotStart."""
        for node in self.nodes.values():
            node.wait_until_healthy()
        deadline = time.monotonic() + START_SECONDS
        while not any(node.leads_all() for node in self.nodes.values()):
            if time.monotonic() > deadline:
                raise CannotStart(f"the nats-servers found no leader within {START_SECONDS} s")
            time.sleep(0.05)


@contextmanager
def nats_cluster(folder: Path, *, access: Credentials) -> Iterator[Cluster]:
    """A cluster whose files stand in `folder`; healthy when the block begins, ended after it. Raises CannotStart."""
    with ExitStack() as stack:
        names = [f"n{number}" for number in range(1, NODES + 1)]
        cluster = Cluster({name: _node(name, folder / name, access, stack) for name in names})
        for node in cluster.nodes.values():
            _configure(node, cluster)
            stack.callback(node.kill)
            node.start()
        cluster.wait_until_formed()
        yield cluster


async def wait_until_recovered(cluster: Cluster, client: Client) -> None:
    """Waits until every node is healthy, and every stream has a leader whom the others follow: then one may fail.

    `client`: somebody who may ask of every stream. Raises CannotStart and TimeoutError.
    """
    await asyncio.to_thread(cluster.wait_until_formed)
    async with asyncio.timeout(START_SECONDS):
        while True:
            if await _all_follow(client.jetstream(timeout=1)):
                return
            await asyncio.sleep(0.1)


async def _all_follow(js: JetStreamContext) -> bool:
    try:
        found = [await js.stream_info(stream.name) for stream in STREAMS]
    except (NatsError, TimeoutError):
        return False
    states = [stream.cluster for stream in found if stream.cluster]
    return all(state.leader and all(peer.current for peer in state.replicas or ()) for state in states)


def _node(name: str, folder: Path, access: Credentials, stack: ExitStack) -> Node:
    folder.mkdir(parents=True, exist_ok=True)
    client, route, health = (_port(stack) for _ in range(3))
    return Node(name, folder, client, route, health, access.environment())


def _port(stack: ExitStack) -> int:
    """A free port, kept from everybody but the server: who only binds a socket lets another one listen there."""
    keeper = stack.enter_context(closing(socket.socket()))
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return int(keeper.getsockname()[1])


def _configure(node: Node, cluster: Cluster) -> None:
    (node.folder / "permissions.conf").write_text(configuration())
    routes = [f"nats://127.0.0.1:{other.route_port}" for other in cluster.nodes.values() if other is not node]
    lines = [
        f"server_name: {node.name}",
        f"listen: 127.0.0.1:{node.client_port}",
        f"http: 127.0.0.1:{node.health_port}",
        f"jetstream {{ store_dir: {json.dumps(str(node.folder / 'jetstream'))} }}",
        f"cluster {{ name: embedded, listen: 127.0.0.1:{node.route_port}, routes: {json.dumps(routes)} }}",
        "include permissions.conf",
    ]
    (node.folder / "nats.conf").write_text("\n".join(lines) + "\n")
