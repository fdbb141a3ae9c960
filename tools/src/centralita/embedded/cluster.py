"""Three real nats-servers as one cluster on loopback; each node can be killed and restarted.

As with the single embedded server (`embedded.servers`), our users and permissions apply and the kernel chooses the
ports. A node keeps its ports while it is down, as a machine keeps its address.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError

from centralita.embedded.credentials import Credentials
from centralita.embedded.servers import START_SECONDS, CannotStart, find_program, reserve_port
from chassis.stream_api import jetstream_of
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
        """The node's address, without a user."""
        return f"nats://127.0.0.1:{self.client_port}"

    def start(self) -> None:
        """Starts the node, also after `kill`, with the data on its disk."""
        with (self.folder / "nats-server.log").open("ab") as output:
            self._process = self._run(output)

    def kill(self) -> None:
        """Sends SIGKILL and waits until the node has ended."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def is_healthy(self) -> bool:
        """Returns whether the node has caught up with the others. Raises CannotStart if it has ended."""
        if self._process and (code := self._process.poll()) is not None:
            raise CannotStart(f"nats-server {self.name} ended with code {code}: see {self.folder}")
        try:
            return self._get("healthz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def leads_all(self) -> bool:
        """Returns whether the node leads the cluster and sees all others; before that, no stream can be created."""
        peers = self._get("jsz").json().get("meta_cluster", {}).get("replicas") or []
        return len([peer for peer in peers if peer["current"] and not peer.get("offline")]) == NODES - 1

    def wait_until_healthy(self) -> None:
        """Returns when the node is healthy. Raises CannotStart."""
        deadline = time.monotonic() + START_SECONDS
        while not self.is_healthy():
            if time.monotonic() > deadline:
                raise CannotStart(f"nats-server {self.name} is not healthy after {START_SECONDS} s: see {self.folder}")
            time.sleep(0.05)

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.health_port}/{path}", timeout=2)

    def _run(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [find_program("nats-server"), "--config", str(self.folder / "nats.conf")]
        return subprocess.Popen(
            command, env=dict(self.environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


@dataclass(frozen=True)
class Cluster:
    """The nodes of the cluster, by name."""

    nodes: Mapping[str, Node]

    @property
    def url(self) -> str:
        """The addresses of all nodes, in the syntax of NATS_URL, without a user."""
        return ",".join(node.url for node in self.nodes.values())

    def wait_until_formed(self) -> None:
        """Returns when all nodes are healthy and one of them leads. Raises CannotStart."""
        for node in self.nodes.values():
            node.wait_until_healthy()
        deadline = time.monotonic() + START_SECONDS
        while not any(node.leads_all() for node in self.nodes.values()):
            if time.monotonic() > deadline:
                raise CannotStart(f"the nats-servers elected no leader within {START_SECONDS} s")
            time.sleep(0.05)


@contextmanager
def nats_cluster(folder: Path, *, access: Credentials) -> Iterator[Cluster]:
    """Runs a cluster during the block, with its files in `folder`; it begins healthy. Raises CannotStart."""
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
    """Returns when every node is healthy and every stream has a leader and current followers: a node may fail again.

    The user of `client` must be permitted to read the information of every stream. Raises CannotStart, TimeoutError.
    """
    await asyncio.to_thread(cluster.wait_until_formed)
    async with asyncio.timeout(START_SECONDS):
        while True:
            if await _all_follow(client):
                return
            await asyncio.sleep(0.1)


async def _all_follow(client: Client) -> bool:
    try:
        infos = [await jetstream_of(client, stream.name, timeout=1).stream_info(stream.name) for stream in STREAMS]
    except (NatsError, TimeoutError):
        return False
    states = [stream.cluster for stream in infos if stream.cluster]
    return all(state.leader and all(peer.current for peer in state.replicas or ()) for state in states)


def _node(name: str, folder: Path, access: Credentials, stack: ExitStack) -> Node:
    folder.mkdir(parents=True, exist_ok=True)
    client, route, health = (reserve_port(stack) for _ in range(3))
    return Node(name, folder, client, route, health, access.environment())


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
