"""A NATS server with the users and permissions of the contracts."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from centralita.embedded import servers
from centralita.embedded.credentials import Credentials
from chassis.barrier import wait_until_processed
from chassis.provision import provision
from chassis.stream_api import jetstream_of
from contracts.accounts import ADMIN
from contracts.permissions import inbox_of
from contracts.streams import CALLS, Stream


@dataclass
class Connection:
    """A user's connection, and the subjects that the server has refused it."""

    client: Client
    refused: list[str] = field(default_factory=list)

    @property
    def js(self) -> JetStreamContext:
        """JetStream for the shared streams."""
        return self.of(CALLS)

    def of(self, stream: Stream) -> JetStreamContext:
        """JetStream for a stream, in whose account it may be."""
        return jetstream_of(self.client, stream.name, timeout=60)

    async def on_error(self, error: Exception) -> None:
        match = re.search(r'permissions violation for (?:publish|subscription) to "([^"]*)"', str(error))
        self.refused.append(match[1] if match else str(error))

    async def refused_publishes(self, *subjects: str) -> list[str]:
        """Publishes to the subjects and returns the refused ones, in lower case as the server reports them."""
        self.refused.clear()
        for subject in subjects:
            await self.client.publish(subject, b"{}")
        return await self._refused(len(subjects))

    async def refused_subscriptions(self, *subjects: str, queue: str = "") -> list[str]:
        """Subscribes to the subjects and returns the refused ones."""
        self.refused.clear()
        for subject in subjects:
            await self.client.subscribe(subject, queue=queue)
        return await self._refused(len(subjects))

    async def may_subscribe(self, subject: str, queue: str) -> bool:
        """Returns whether the server accepts the subscription."""
        self.refused.clear()
        await self.client.subscribe(subject, queue=queue)
        return await self._refused(0) == []

    async def _refused(self, expected: int) -> list[str]:
        """Returns the refusals once `expected` have arrived, or after 30 s: the server reports them asynchronously."""
        await wait_until_processed(self.client)
        for _ in range(600):
            await asyncio.sleep(0.05)
            if len(self.refused) >= expected:
                break
        return [*self.refused]


Connect = Callable[[str], Awaitable[Connection]]
ServerWith = Callable[[str], AbstractContextManager[tuple[str, Callable[[str], None]]]]


@pytest.fixture(scope="module")
def access() -> Credentials:
    return Credentials.generate()


@pytest.fixture(scope="module")
def address(access: Credentials, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.nats_server(tmp_path_factory.mktemp("permissions"), access=access) as url:
        yield url


@pytest.fixture
async def connect(address: str, access: Credentials) -> AsyncIterator[Connect]:
    """Connects as a user, as the chassis does, to a server with all streams."""
    async with AsyncExitStack() as stack:

        async def as_user(user: str) -> Connection:
            user_connection = Connection(Client())
            await user_connection.client.connect(
                access.url(address, user),
                inbox_prefix=inbox_of(user),
                error_cb=user_connection.on_error,
                allow_reconnect=False,
                connect_timeout=60,
            )
            stack.push_async_callback(user_connection.client.close)
            return user_connection

        admin = await nats.connect(access.url(address, ADMIN))
        stack.push_async_callback(admin.close)
        await provision(admin)
        yield as_user


@pytest.fixture
def server_with(tmp_path: Path, access: Credentials, monkeypatch: pytest.MonkeyPatch) -> ServerWith:
    """Runs a server with another configuration; yields its address and a function that reloads another one."""

    @contextmanager
    def server(text: str) -> Iterator[tuple[str, Callable[[str], None]]]:
        monkeypatch.setattr(servers, "configuration", lambda: text)
        with servers.nats_server(tmp_path / "server", access=access) as address:
            while not (files := list((tmp_path / "server" / "ports").glob("*.ports"))):
                time.sleep(0.01)  # the server writes it after it is ready
            (ports,) = files

            def reload(new_text: str) -> None:
                (tmp_path / "server" / "permissions.conf").write_text(new_text)
                os.kill(int(ports.stem.rpartition("_")[2]), signal.SIGHUP)

            yield address, reload

    return server
