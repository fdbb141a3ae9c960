"""Real servers for the tests: containers where a Docker engine answers, the embedded ones where none does."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import ServerError

from centralita.embedded import mongo_server, nats_server
from chassis.log import Log
from chassis.provision import provision
from contracts.streams import CALLS


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
            from testcontainers.nats import NatsContainer

            container = stack.enter_context(NatsContainer("nats:2.12-alpine", jetstream=True))
            yield container.nats_uri()
        else:
            yield stack.enter_context(nats_server(tmp_path_factory.mktemp("nats")))


@pytest.fixture(scope="session")
def mongo_url(docker: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One MongoDB-wire server for the whole run; a test takes a database of its own."""
    with ExitStack() as stack:
        if docker:
            from testcontainers.mongodb import MongoDbContainer

            container = stack.enter_context(MongoDbContainer("mongo:8").with_command("--replSet rs0"))
            container.exec(["mongosh", "--quiet", "--eval", "rs.initiate()"])
            yield f"{container.get_connection_url()}&directConnection=true"
        else:
            yield stack.enter_context(mongo_server(Path(tmp_path_factory.mktemp("mongo"))))


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
def calls(bus_client: Client) -> Log:
    """The log of calls, as a test writes to it."""
    return Log(bus_client, CALLS.name, source="test")
