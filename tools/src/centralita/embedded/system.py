"""The whole system on one machine: real servers, the five services as processes, the vendors or their simulators."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import nats

from centralita.embedded.cluster import NODES, Cluster, nats_cluster
from centralita.embedded.credentials import CREDENTIALS_FILE, Credentials
from centralita.embedded.processes import Supervised
from centralita.embedded.run_files import SETTINGS_FILE, env_lines, write_private_file
from centralita.embedded.servers import CannotStart, mongo_server, nats_server
from centralita.embedded.vendors import Vendors, vendors
from chassis.addresses import connection
from chassis.provision import provision
from contracts.permissions import ADMIN, OPERATOR

MODULES = {
    "call-orchestrator": "call_orchestrator",
    "voice": "voice",
    "conversation": "conversation",
    "campaign-stats": "campaign_stats",
    "edge": "edge",
}
READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ports:
    """Where things listen on loopback; 0: the kernel chooses."""

    nats: int = 0
    mongo: int = 0
    edge: int = 0
    voice: int = 0
    others: tuple[int, int, int] = (0, 0, 0)

    def of(self, service: str) -> int:
        """The port of a service's HTTP side."""
        named = {"edge": self.edge, "voice": self.voice}
        others = dict(zip(("call-orchestrator", "conversation", "campaign-stats"), self.others, strict=True))
        return {**named, **others}[service]


@dataclass(frozen=True, slots=True)
class System:
    """A running system: where its parts listen, and the processes of its services.

    Replicas of a service share its address; they are called ``voice``, ``voice-2`` and so on. `nats_url` is the
    operator's, who reads everything and asks for calls; `access` has the others'. `cluster`: its nodes, if it has any.
    """

    nats_url: str
    access: Credentials
    mongo_url: str
    urls: dict[str, str]
    vendors: Vendors
    services: dict[str, Supervised]
    folder: Path
    cluster: Cluster | None = None

    @property
    def edge_url(self) -> str:
        """The REST API."""
        return self.urls["edge"]


@asynccontextmanager
async def running(
    folder: Path,
    *,
    ports: Ports = Ports(),
    environment: Mapping[str, str] = os.environ,
    seed: int = 1,
    speed: float = 1.0,
    behaviours: str | None = None,
    settings: Mapping[str, str] | None = None,
    replicas: int | Mapping[str, int] = 1,
    clustered: bool = False,
) -> AsyncIterator[System]:
    """Starts everything, waits until every service is ready, and ends everything after. Raises CannotStart.

    `settings` are told to every service, over the environment's own. `replicas` of every service, or by its name.
    `clustered`: on three nats-servers, whose ports the kernel chooses, with as many replicas of every stream.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access = Credentials.generate()
    with (
        _bus(folder / "nats", ports, access, cluster=clustered) as (nats_url, cluster),
        mongo_server(folder / "mongo", port=ports.mongo) as mongo_url,
    ):
        access.store(folder / "nats" / CREDENTIALS_FILE.name, nats_url)
        await _provision(access.url(nats_url, ADMIN), replicas=NODES if cluster else 1)
        simulators = vendors(environment, seed=seed, speed=speed, log=folder / "simulators.log", behaviours=behaviours)
        async with simulators as found:
            listeners = {name: _listen(name, ports.of(name)) for name in MODULES}
            urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
            own = {
                "EMBEDDED_RUN": "true",
                "APP_BASE_URL": environment.get("APP_BASE_URL") or urls["edge"],
                "MEDIA_BASE_URL": environment.get("MEDIA_BASE_URL") or environment.get("APP_BASE_URL") or urls["voice"],
                "VOICE_URL": urls["voice"],
                **found.environment,
                "MONGO_URL": mongo_url,
                **(settings or {}),
            }
            stored = {name: value for name, value in own.items() if environment.get(name) != value}
            write_private_file(folder / SETTINGS_FILE.name, env_lines({**stored, "API_URL": urls["edge"]}))
            told = {**environment, **own}
            how_many = replicas if isinstance(replicas, Mapping) else dict.fromkeys(MODULES, replicas)
            services = {
                label: _service(name, label, listeners[name], {**told, "NATS_URL": access.url(nats_url, name)}, folder)
                for name in MODULES
                for label in _labels(name, how_many.get(name, 1))
            }
            try:
                await asyncio.gather(*(service.start() for service in services.values()))
                await _until_ready(urls, services)
                yield System(access.url(nats_url, OPERATOR), access, mongo_url, urls, found, services, folder, cluster)
            finally:
                await asyncio.gather(*(service.stop() for service in services.values()))
                for listener in listeners.values():
                    listener.close()


@contextmanager
def _bus(folder: Path, ports: Ports, access: Credentials, *, cluster: bool) -> Iterator[tuple[str, Cluster | None]]:
    if cluster:
        with nats_cluster(folder, access=access) as nodes:
            yield nodes.url, nodes
    else:
        with nats_server(folder, port=ports.nats or -1, access=access) as url:
            yield url, None


async def _provision(admin_url: str, replicas: int) -> None:
    client = await nats.connect(**connection(admin_url))
    try:
        await provision(client.jetstream(), replicas=replicas)
    finally:
        await client.close()


def _listen(name: str, port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=512)
    except OSError as error:
        raise CannotStart(f"{name}: port {port} is taken ({error}); is another system up?") from error


def _labels(name: str, count: int) -> list[str]:
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]


def _service(name: str, label: str, listener: socket.socket, told: Mapping[str, str], folder: Path) -> Supervised:
    return Supervised(
        name=label,
        command=[sys.executable, "-m", MODULES[name]],
        environment={**told, "HTTP_FD": str(listener.fileno())},
        log=folder / f"{label}.log",
        inherited=(listener.fileno(),),
    )


async def _until_ready(urls: Mapping[str, str], services: Mapping[str, Supervised]) -> None:
    async with httpx.AsyncClient(timeout=2) as client:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.gather(*(_ready(client, url, services[name]) for name, url in urls.items()))
                await asyncio.gather(*(_listening(service) for service in services.values()))
        except TimeoutError as error:
            raise CannotStart(f"not every service became ready within {READY_SECONDS} s") from error


async def _ready(client: httpx.AsyncClient, url: str, service: Supervised) -> None:
    while True:
        if service.restarts > 2:
            last = service.log.read_text(errors="replace").strip()[-600:]
            raise CannotStart(f"{service.name} keeps ending: {last}")
        try:
            if (await client.get(f"{url}/health/ready")).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)


async def _listening(service: Supervised) -> None:
    """A replica by itself: its address may be answered by another one. The last thing at its start is to say this."""
    while True:
        if '"event": "listening"' in service.output():
            return
        await asyncio.sleep(0.1)
