"""Runs the whole system of a checkout from outside: servers, simulated vendors, and the services as processes.

Only commands, settings, NATS subjects and HTTP are used, so an older checkout with its own ``.venv`` runs the same way.
"""

import asyncio
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import nats
from nats.aio.client import Client

from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.servers import Server, find_program, reserve_port, restartable_mongo_server
from centralita.embedded.vendors import ANY_TIME, vendors

ROOT = Path(__file__).parents[2]
SERVICES = {
    "call-orchestrator": "call_orchestrator",
    "voice": "voice",
    "conversation": "conversation",
    "campaign-stats": "campaign_stats",
    "edge": "edge",
}
COUNTRY = "US"
SPEED = 100.0
"""Simulated seconds per second: a phone rings for 40 to 80 ms, a sentence of three seconds plays for 30 ms."""
SETTINGS = {
    "MAX_CONCURRENT_CALLS": "1000",
    "TWILIO_CALLS_PER_SECOND": "1000",
    "TWILIO_MAX_CONCURRENCY": "200",
    "ELEVENLABS_MAX_CONCURRENCY": "30",
    "OPENAI_MAX_CONCURRENCY": "200",
    "BREAKER_FAILURES": "1000",
    "ALLOWED_COUNTRIES": COUNTRY,
    "CALLING_RULES": ANY_TIME,
    "EMBEDDED_RUN": "true",
}
"""Limits that no run reaches, so that the system is measured and not its configuration. The log level is INFO."""
READY_SECONDS = 120


@dataclass(frozen=True)
class Checkout:
    """A working copy of the repository with its own ``.venv``."""

    label: str
    folder: Path = ROOT

    @property
    def python(self) -> str:
        """The interpreter in which this checkout is installed."""
        return str(self.folder / ".venv/bin/python") if self.folder != ROOT else sys.executable

    def output(self, module: str, environment: Mapping[str, str] | None = None) -> str:
        """Runs ``python -m module`` and returns what it prints. Raises CalledProcessError."""
        command = [self.python, "-m", module]
        env = {**os.environ, **(environment or {})}
        return subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Variant:
    """How the system runs. `sync_always`: the server syncs each message to disk before it acknowledges it."""

    sync_always: bool = False
    nodes: int = 1
    profile: Path | None = None
    """The folder for profiles of the services; None: no profiler runs."""


@dataclass
class RunningSystem:
    """A running system. `urls` has the HTTP address of each service, `admin_url` may do everything."""

    checkout: Checkout
    folder: Path
    servers: Sequence[Server]
    admin_url: str
    mongo_url: str
    control_url: str
    services: Mapping[str, SupervisedProcess] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Client]:
        """Connects as the user admin."""
        addresses = self.admin_url.split(",")
        client = await nats.connect(
            addresses, reconnect_time_wait=0.1, max_reconnect_attempts=-1, error_cb=_ignore_error
        )
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def running_servers(checkout: Checkout, folder: Path, variant: Variant) -> AsyncIterator[RunningSystem]:
    """Runs NATS with the users and permissions of the checkout, MongoDB and the vendors; no service.

    The streams are provisioned if the folder is new.
    """
    is_filled = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = checkout.output("contracts.nats_configuration")
    passwords = {name: secrets.token_hex(24) for name in re.findall(r"\$(NATS_PASSWORD_\w+)", configuration)}
    with _nats(folder / "nats", configuration, passwords, variant) as servers:
        addresses = [server.url.removeprefix("nats://") for server in servers]
        _write_urls(folder, addresses, passwords)
        admin_url = _url(addresses, "admin", passwords)
        if not is_filled:
            provision = {"NATS_URL": admin_url, "NATS_REPLICAS": str(variant.nodes)}
            await asyncio.to_thread(checkout.output, "chassis.provision", provision)
        with restartable_mongo_server(folder / "mongo") as mongo:
            simulators = vendors({"PATH": os.environ["PATH"]}, seed=1, speed=SPEED, log=folder / "simulators.log")
            async with simulators as running:
                own = {**running.environment, **secret_keys(folder, {}), **SETTINGS, "MONGO_URL": mongo.url}
                (folder / "settings.json").write_text(json.dumps(own))
                yield RunningSystem(checkout, folder, servers, admin_url, mongo.url, running.control or "")


@asynccontextmanager
async def running_services(
    system: RunningSystem, variant: Variant, names: Sequence[str] = tuple(SERVICES)
) -> AsyncIterator[RunningSystem]:
    """Runs the named services during the block, which begins when each of them is ready; by default all five."""
    own = json.loads((system.folder / "settings.json").read_text())
    nats_urls = json.loads((system.folder / "nats/urls.json").read_text())
    with ExitStack() as stack:
        listeners = {
            name: stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512)) for name in SERVICES
        }  # of all services: the addresses of those that do not run are settings, too
        urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
        own |= {"APP_BASE_URL": urls["edge"], "MEDIA_BASE_URL": urls["voice"], "VOICE_URL": urls["voice"]}
        services = {
            name: SupervisedProcess(
                name=name,
                command=[system.checkout.python, "-m", module],
                environment={
                    **base_environment(variant, name),
                    **own,
                    "NATS_URL": nats_urls[name],
                    "HTTP_FD": str(listeners[name].fileno()),
                },
                log=system.folder / f"{name}.log",
                inherited=(listeners[name].fileno(),),
            )
            for name, module in SERVICES.items()
            if name in names
        }
        try:
            await asyncio.gather(*(service.start() for service in services.values()))
            await _wait_until_ready({name: urls[name] for name in names}, services)
            system.services, system.urls = services, urls
            yield system
        finally:
            system.services, system.urls = {}, {}
            await asyncio.gather(*(service.stop() for service in services.values()))


def base_environment(variant: Variant, name: str) -> dict[str, str]:
    """Returns the environment of a process without its settings, with the profiler if it runs."""
    base = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")}
    if variant.profile:
        base |= {"PYTHONPATH": str(Path(__file__).parent / "profiling"), "BENCH_PROFILE": str(variant.profile / name)}
    return base


async def _wait_until_ready(urls: Mapping[str, str], services: Mapping[str, SupervisedProcess]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    async with httpx.AsyncClient(timeout=2) as client:
        for name, url in urls.items():
            while not await _is_ready(client, url) or '"event": "listening"' not in services[name].output():
                if services[name].restarts > 2 or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} does not become ready: {services[name].output()[-600:]}")
                await asyncio.sleep(0.1)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health/ready")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def _nats(
    folder: Path, configuration: str, passwords: Mapping[str, str], variant: Variant
) -> Iterator[Sequence[Server]]:
    with ExitStack() as stack:
        ports = [(reserve_port(stack), reserve_port(stack)) for _ in range(variant.nodes)]
        servers = []
        for number, (port, route) in enumerate(ports, start=1):
            own = folder / f"n{number}"
            own.mkdir(parents=True, exist_ok=True)
            sync = ", sync_interval: always" if variant.sync_always else ""
            lines = [
                f"server_name: n{number}",
                f"listen: 127.0.0.1:{port}",
                f"jetstream {{ store_dir: {json.dumps(str(own / 'jetstream'))}{sync} }}",
                "include permissions.conf",
            ]
            if variant.nodes > 1:
                routes = [f"nats://127.0.0.1:{other}" for _, other in ports if other != route]
                lines.append(f"cluster {{ name: bench, listen: 127.0.0.1:{route}, routes: {json.dumps(routes)} }}")
            (own / "permissions.conf").write_text(configuration)
            (own / "nats.conf").write_text("\n".join(lines) + "\n")
            quoted = {name: f'"{password}"' for name, password in passwords.items()}
            command = [find_program("nats-server"), "--config", str(own / "nats.conf")]
            servers.append(Server(f"nats-server n{number}", command, own / "nats.log", _find_nats_url, quoted))
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield servers


async def _ignore_error(_: Exception) -> None:
    """Ignores that a server is down for a moment, which nats-py would print."""


def _find_nats_url(output: str) -> str | None:
    match = re.search(r"Listening for client connections on (127\.0\.0\.1:\d+)\n[^\0]*Server is ready", output)
    return f"nats://{match[1]}" if match else None


def _write_urls(folder: Path, addresses: Sequence[str], passwords: Mapping[str, str]) -> None:
    users = {name.removeprefix("NATS_PASSWORD_").lower().replace("_", "-") for name in passwords}
    urls = {user: _url(addresses, user, passwords) for user in users}
    (folder / "nats/urls.json").write_text(json.dumps(urls))


def _url(addresses: Sequence[str], user: str, passwords: Mapping[str, str]) -> str:
    password = passwords[f"NATS_PASSWORD_{user.upper().replace('-', '_')}"]
    return ",".join(f"nats://{user}:{password}@{address}" for address in addresses)
