"""The whole system on one machine: real servers, the five services as processes, real or simulated vendors."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from centralita.embedded.clock_setting import clock_setting
from centralita.embedded.cluster import Cluster
from centralita.embedded.console import ConsoleLogin, running_console
from centralita.embedded.credentials import Credentials
from centralita.embedded.dead_letter_process import dead_letter_process
from centralita.embedded.live_streams import live_settings
from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.provisioned_servers import provisioned_servers
from centralita.embedded.run_files import store_settings
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.servers import CannotStart, Server, listen
from centralita.embedded.vendors import ANY_TIME, Vendors, vendors
from chassis.time_mapping import TimeMapping
from contracts.permissions import OPERATOR
from contracts.work import DEAD_LETTER_USER

MODULES = {
    "call-orchestrator": "call_orchestrator",
    "voice": "voice",
    "conversation": "conversation",
    "campaign-stats": "campaign_stats",
    "edge": "edge",
}
READY_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports on loopback; 0: the kernel chooses."""

    nats: int = 0
    mongo: int = 0
    edge: int = 0
    voice: int = 0
    live: int = 0
    others: tuple[int, int, int] = (0, 0, 0)
    console: int = 0

    def for_service(self, service: str) -> int:
        """Returns the HTTP port of a service."""
        named = {"edge": self.edge, "voice": self.voice}
        others = dict(zip(("call-orchestrator", "conversation", "campaign-stats"), self.others, strict=True))
        return {**named, **others}[service]


@dataclass(frozen=True, slots=True)
class System:
    """A running system: its addresses and the processes of its services.

    Replicas of a service share its address; their names are ``voice``, ``voice-2`` and so on. `nats_url` contains the
    user operator, who reads everything and requests calls; `access` has all users. Either `cluster` or `nats` is None.
    """

    nats_url: str
    access: Credentials
    mongo_url: str
    urls: dict[str, str]
    vendors: Vendors
    services: dict[str, SupervisedProcess]
    folder: Path
    mongo: Server
    master_key: str = field(repr=False)
    nats: Server | None = None
    cluster: Cluster | None = None
    console_url: str | None = None
    """Where a browser logs in; None: the run has no console."""

    @property
    def edge_url(self) -> str:
        """The address of the REST API."""
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
    recordings: Path | None = None,
    settings: Mapping[str, str] | None = None,
    replicas: int | Mapping[str, int] = 1,
    clustered: bool = False,
    environments: Mapping[str, Mapping[str, str]] | None = None,
    simulated_clock: TimeMapping | None = None,
    console: ConsoleLogin | None = None,
    has_dead_letters: bool = False,
) -> AsyncIterator[System]:
    """Runs everything during the block, which begins when every service is ready. Raises CannotStart.

    `recordings`: a folder for the audio of each live call. `settings` override `environment` in every service.
    `replicas` of each service, or a number by name of the service.
    `clustered`: three nats-servers on ports that the kernel chooses, with three replicas of every stream.
    `environments`: further variables of single processes, such as ``voice-2``. `simulated_clock` needs the simulator of
    Twilio. `console`: how persons log in to it; None: it does not run. `has_dead_letters`: the process that resends
    dead letters runs, also without a console.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "simulators.log"
    simulators = vendors(environment, seed=seed, speed=speed, log=log, behaviours=behaviours, recordings=recordings)
    provisioned = provisioned_servers(folder, nats_port=ports.nats, mongo_port=ports.mongo, clustered=clustered)
    async with provisioned as servers, simulators as running_vendors:
        with _listening(ports) as listeners, listen("live", ports.live) as streams:
            urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
            own = _own_settings(environment, urls, running_vendors, servers.mongo.url)
            own |= {**secret_keys(folder, environment), **(settings or {})}
            own |= clock_setting(environment, running_vendors, simulated_clock)
            own |= live_settings(environment, streams, is_simulated="twilio" not in running_vendors.real)
            store_settings(folder, own, environment, urls["edge"])
            own_of = {name: {**environment, **own, "NATS_URL": servers.nats_url(name)} for name in MODULES}
            services = _services(own_of, environments or {}, listeners, streams, replicas, folder)
            if console or has_dead_letters:
                process = dead_letter_process({**environment, **own}, servers.access, servers.bus.url, folder)
                services[DEAD_LETTER_USER] = process
            shown = running_console(console, urls["edge"], ports.console, environment, folder)
            async with _started(services, urls), shown as console_url:
                yield System(
                    nats_url=servers.nats_url(OPERATOR),
                    access=servers.access,
                    mongo_url=servers.mongo.url,
                    urls=urls,
                    vendors=running_vendors,
                    services=services,
                    folder=folder,
                    mongo=servers.mongo,
                    master_key=own["MASTER_KEY"],
                    nats=servers.bus if isinstance(servers.bus, Server) else None,
                    cluster=servers.bus if isinstance(servers.bus, Cluster) else None,
                    console_url=console_url,
                )


def _own_settings(
    environment: Mapping[str, str], urls: Mapping[str, str], running_vendors: Vendors, mongo_url: str
) -> dict[str, str]:
    """Returns the settings that the run itself determines."""
    return {
        "EMBEDDED_RUN": "true",
        "APP_BASE_URL": environment.get("APP_BASE_URL") or urls["edge"],
        "MEDIA_BASE_URL": environment.get("MEDIA_BASE_URL") or environment.get("APP_BASE_URL") or urls["voice"],
        "VOICE_URL": urls["voice"],
        **({} if "twilio" in running_vendors.real else {"CALLING_RULES": environment.get("CALLING_RULES") or ANY_TIME}),
        **running_vendors.environment,
        "MONGO_URL": mongo_url,
    }


def _services(
    own: Mapping[str, Mapping[str, str]],
    further: Mapping[str, Mapping[str, str]],
    listeners: Mapping[str, socket.socket],
    streams: socket.socket,
    replicas: int | Mapping[str, int],
    folder: Path,
) -> dict[str, SupervisedProcess]:
    """`streams`: where voice accepts media streams. Replicas share every listening socket."""
    inherited = {name: (listener, streams) if name == "voice" else (listener,) for name, listener in listeners.items()}
    counts = replicas if isinstance(replicas, Mapping) else dict.fromkeys(MODULES, replicas)
    return {
        label: _service(name, label, inherited[name], {**own[name], **further.get(label, {})}, folder)
        for name in MODULES
        for label in _labels(name, counts.get(name, 1))
    }


@asynccontextmanager
async def _started(services: Mapping[str, SupervisedProcess], urls: Mapping[str, str]) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(service.start() for service in services.values()))
        await _wait_until_ready(urls, services)
        yield
    finally:
        await asyncio.gather(*(service.stop() for service in services.values()))


@contextmanager
def _listening(ports: Ports) -> Iterator[dict[str, socket.socket]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(listen(name, ports.for_service(name))) for name in MODULES}


def _labels(name: str, count: int) -> list[str]:
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]


def _service(
    name: str, label: str, listeners: Sequence[socket.socket], environment: Mapping[str, str], folder: Path
) -> SupervisedProcess:
    return SupervisedProcess(
        name=label,
        command=[sys.executable, "-m", MODULES[name]],
        environment={**environment, "HTTP_FD": str(listeners[0].fileno())},
        log=folder / f"{label}.log",
        inherited=tuple(listener.fileno() for listener in listeners),
    )


async def _wait_until_ready(urls: Mapping[str, str], services: Mapping[str, SupervisedProcess]) -> None:
    async with httpx.AsyncClient(timeout=2) as client:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.gather(*(_wait_for_health(client, url, services[name]) for name, url in urls.items()))
                await asyncio.gather(*(_wait_until_listening(service) for service in services.values()))
        except TimeoutError as error:
            raise CannotStart(f"not every service became ready within {READY_SECONDS} s") from error


async def _wait_for_health(client: httpx.AsyncClient, url: str, service: SupervisedProcess) -> None:
    while True:
        if service.restarts > 2:
            last = service.log.read_text(errors="replace").strip()[-600:]
            raise CannotStart(f"{service.name} ends again and again: {last}")
        try:
            if (await client.get(f"{url}/health/ready")).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)


async def _wait_until_listening(service: SupervisedProcess) -> None:
    """Waits for one replica by its log: a health request may be answered by another replica with the same address."""
    while True:
        if '"event": "listening"' in service.output():
            return
        await asyncio.sleep(0.1)
