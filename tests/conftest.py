"""Real servers for the tests: containers if a Docker engine answers, otherwise embedded servers."""

import asyncio
import gc
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import nats
import pytest
import structlog
from nats.aio.client import Client
from nats.js.errors import ServerError
from pydantic import SecretStr
from tests.builders.secret_keys import TEST_KEYS
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from centralita.embedded.servers import mongo_server, nats_server
from centralita.embedded.vendors import ANY_TIME
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.provision import provision
from chassis.settings import key_bytes
from contracts.nats_configuration import open_configuration
from contracts.streams import CALLS
from sealing import MasterKey

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

os.environ.setdefault("CALLING_RULES", ANY_TIME)  # the tests and their processes call simulators, at any hour
for name, key in TEST_KEYS.items():
    os.environ.setdefault(name, key)
COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"
START_SECONDS = 60
SHARED_FOLDERS = ("observability", "browser")
_HAS_FAILED = pytest.StashKey[bool]()


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of a file, or of a folder that shares servers, in one process of `pytest -n`.

    pytest-xdist's own groups have no effect with pytest 9.2 (pytest-xdist, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return str(file.parent if file.parent.name in SHARED_FOLDERS else file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """Distributes the tests with `--dist loadgroup`."""
    return FileScheduling(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes that a test has failed, for `pytest_runtest_protocol`."""
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Frees what a failed test has left open, such as a connection.

    Python keeps the frames of the last exception, and pytest forgets it at the call of the next test. So the warning of
    a connection that was not closed would come in the next test or a later one, and fail it, too.
    """
    result = yield
    if item.stash.get(_HAS_FAILED, False):
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
    return result


@pytest.fixture(autouse=True)
def default_logging() -> None:
    """Undoes the log settings of an earlier test in this process: a command hides lines below the level WARNING."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def docker() -> bool:
    """Returns whether a Docker engine answers."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def nats_url(docker: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One NATS server for the whole run; `bus_client` creates new streams for each test."""
    with ExitStack() as stack:
        if docker:
            from testcontainers.core.container import DockerContainer
            from testcontainers.core.wait_strategies import LogMessageWaitStrategy

            # NatsContainer emits a deprecation warning, and warnings are errors here.
            folder = tmp_path_factory.mktemp("nats")
            (folder / "nats.conf").write_text(open_configuration())
            container = DockerContainer(_image("nats")).with_command("-js -c /etc/tests/nats.conf")
            container = container.with_volume_mapping(str(folder), "/etc/tests").with_exposed_ports(4222)
            stack.enter_context(container.waiting_for(LogMessageWaitStrategy("Server is ready")))
            yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"
        else:
            yield stack.enter_context(nats_server(tmp_path_factory.mktemp("nats")))


@pytest.fixture(scope="session")
def mongo_url(docker: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server of MongoDB's wire protocol for the whole run; each test uses its own database."""
    with ExitStack() as stack:
        if docker:
            from testcontainers.core.container import DockerContainer

            # MongoDbContainer requires a password, with which a replica set needs a key file.
            container = DockerContainer(_image("mongo")).with_command("mongod --replSet rs0 --bind_ip_all")
            stack.enter_context(container.with_exposed_ports(27017))
            _wait_until_primary(container)
            host, port = container.get_container_host_ip(), container.get_exposed_port(27017)
            yield f"mongodb://{host}:{port}/?directConnection=true"
        else:
            yield stack.enter_context(mongo_server(Path(tmp_path_factory.mktemp("mongo"))))


def _image(service: str) -> str:
    """Returns the image that compose runs, so that the tests use the same."""
    match = re.search(rf"^  {service}:\n(?:    .*\n)*?    image: (\S+)$", COMPOSE.read_text(), re.MULTILINE)
    assert match, f"compose names no image for {service}"
    return match[1]


def _wait_until_primary(container: "DockerContainer") -> None:
    """Initiates the replica set, which transactions need, and waits until it accepts writes."""
    script = "try { rs.status() } catch (e) { rs.initiate() } quit(db.hello().isWritablePrimary ? 0 : 1)"
    deadline = time.monotonic() + START_SECONDS
    while (answer := container.exec(["mongosh", "--quiet", "--eval", script])).exit_code:
        assert time.monotonic() < deadline, f"MongoDB is not ready: {answer.output!r}"
        time.sleep(0.5)


@pytest.fixture
async def bus_client(nats_url: str) -> AsyncIterator[Client]:
    """A connection to a NATS server with new, empty streams."""
    client = await nats.connect(nats_url)
    try:
        await _recreate_streams(client)
        yield client
    finally:
        await client.close()


async def _recreate_streams(client: Client) -> None:
    js = client.jetstream()
    for stream in await js.streams_info():
        await js.delete_stream(stream.config.name or "")
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await provision(client)
                break
            except ServerError as error:
                # The server is still removing the files of the deleted stream.
                if error.err_code != 10049:
                    raise
                await asyncio.sleep(0.2)


@pytest.fixture
async def keyring(bus_client: Client) -> AsyncIterator[Keyring]:
    """The keys of persons, under the master key of the services that tests run."""
    async with Keyring(bus_client, MasterKey(key_bytes(SecretStr(TEST_KEYS["MASTER_KEY"])))).is_current() as keyring:
        yield keyring


@pytest.fixture
def calls(bus_client: Client, keyring: Keyring) -> EventLog:
    """The log of calls, for events that a test appends and reads."""
    return EventLog(bus_client, CALLS.name, source="test", keyring=keyring)
