"""Real servers for the tests: containers where a Docker engine answers, the embedded ones where none does."""

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import ServerError

from centralita.embedded.servers import mongo_server, nats_server
from chassis.event_log import EventLog
from chassis.provision import provision
from contracts.streams import CALLS

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"
START_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a server, or the one campaign that is observed, stays in one process of `pytest -n`."""
    for item in items:
        shared = item.path.parent if item.path.parent.name == "observability" else item.path
        item.add_marker(pytest.mark.xdist_group(str(shared)))


@pytest.fixture(scope="session")
def docker() -> bool:
    """Whether a Docker engine answers."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def nats_url(docker: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One NATS server for the whole run; each test has streams of its own by taking `bus_client`."""
    with ExitStack() as stack:
        if docker:
            from testcontainers.core.container import DockerContainer
            from testcontainers.core.wait_strategies import LogMessageWaitStrategy

            # Not NatsContainer: it warns of itself, and here a warning is an error.
            container = DockerContainer(_image("nats")).with_command("-js").with_exposed_ports(4222)
            stack.enter_context(container.waiting_for(LogMessageWaitStrategy("Server is ready")))
            yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"
        else:
            yield stack.enter_context(nats_server(tmp_path_factory.mktemp("nats")))


@pytest.fixture(scope="session")
def mongo_url(docker: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One MongoDB-wire server for the whole run; a test takes a database of its own."""
    with ExitStack() as stack:
        if docker:
            from testcontainers.core.container import DockerContainer

            # Not MongoDbContainer: it demands a password, with which a replica set wants a key file too.
            container = DockerContainer(_image("mongo")).with_command("mongod --replSet rs0 --bind_ip_all")
            stack.enter_context(container.with_exposed_ports(27017))
            _until_primary(container)
            host, port = container.get_container_host_ip(), container.get_exposed_port(27017)
            yield f"mongodb://{host}:{port}/?directConnection=true"
        else:
            yield stack.enter_context(mongo_server(Path(tmp_path_factory.mktemp("mongo"))))


def _image(service: str) -> str:
    """As compose has it: what is tested is what is run."""
    found = re.search(rf"^  {service}:\n(?:    .*\n)*?    image: (\S+)$", COMPOSE.read_text(), re.MULTILINE)
    assert found, f"compose names no image for {service}"
    return found[1]


def _until_primary(container: "DockerContainer") -> None:
    """Makes the replica set, without which there are no transactions, and waits until it can be written to."""
    script = "try { rs.status() } catch (e) { rs.initiate() } quit(db.hello().isWritablePrimary ? 0 : 1)"
    deadline = time.monotonic() + START_SECONDS
    while (answer := container.exec(["mongosh", "--quiet", "--eval", script])).exit_code:
        assert time.monotonic() < deadline, f"MongoDB is not ready: {answer.output!r}"
        time.sleep(0.5)


@pytest.fixture
async def bus_client(nats_url: str) -> AsyncIterator[Client]:
    """A connection to a NATS server whose streams are fresh: everything that stood in them is gone."""
    client = await nats.connect(nats_url)
    try:
        await _fresh(client.jetstream())
        yield client
    finally:
        await client.close()


async def _fresh(js: JetStreamContext) -> None:
    for stream in await js.streams_info():
        await js.delete_stream(stream.config.name or "")
    async with asyncio.timeout(10):
        while True:
            try:
                await provision(js)
                break
            except ServerError as error:
                # The server still removes the files of a stream that was deleted a moment ago.
                if error.err_code != 10049:
                    raise
                await asyncio.sleep(0.2)


@pytest.fixture
def calls(bus_client: Client) -> EventLog:
    """The log of calls, as a test writes to it."""
    return EventLog(bus_client, CALLS.name, source="test")
