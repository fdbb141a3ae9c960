"""A NATS server on which the users and permissions of the contracts are in force."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from centralita.embedded.credentials import Credentials
from centralita.embedded.servers import nats_server
from chassis.barrier import wait_until_processed
from chassis.provision import provision
from contracts.permissions import ADMIN, inbox_of


@dataclass
class Connection:
    """A user's connection, and what the server has refused it so far."""

    client: Client
    refused: list[str] = field(default_factory=list)

    @property
    def js(self) -> JetStreamContext:
        return self.client.jetstream()

    async def told(self, error: Exception) -> None:
        found = re.search(r'permissions violation for (?:publish|subscription) to "([^"]*)"', str(error))
        self.refused.append(found[1] if found else str(error))

    async def refuses_to_publish(self, *subjects: str) -> list[str]:
        """Which of the subjects the server refuses, in lower case as it tells them."""
        self.refused.clear()
        for subject in subjects:
            await self.client.publish(subject, b"{}")
        return await self._refused(len(subjects))

    async def refuses_to_hear(self, *subjects: str, queue: str = "") -> list[str]:
        """Which of the subjects it may not subscribe to, one connection's life long."""
        self.refused.clear()
        for subject in subjects:
            await self.client.subscribe(subject, queue=queue)
        return await self._refused(len(subjects))

    async def hears(self, subject: str, queue: str) -> bool:
        """Whether it may subscribe."""
        self.refused.clear()
        await self.client.subscribe(subject, queue=queue)
        return await self._refused(0) == []

    async def _refused(self, expected: int) -> list[str]:
        """What was refused once that many were, or none comes any more: the server tells it in its own time."""
        await wait_until_processed(self.client)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if len(self.refused) >= expected:
                break
        return [*self.refused]


Connect = Callable[[str], Awaitable[Connection]]


@pytest.fixture(scope="module")
def access() -> Credentials:
    return Credentials.generate()


@pytest.fixture(scope="module")
def address(access: Credentials, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nats_server(tmp_path_factory.mktemp("guarded"), access=access) as url:
        yield url


@pytest.fixture
async def connect(address: str, access: Credentials) -> AsyncIterator[Connect]:
    """Connects as a user, as the chassis does; the streams are there."""
    async with AsyncExitStack() as stack:

        async def as_user(user: str) -> Connection:
            made = Connection(Client())
            await made.client.connect(
                access.url(address, user), inbox_prefix=inbox_of(user), error_cb=made.told, allow_reconnect=False
            )
            stack.push_async_callback(made.client.close)
            return made

        admin = await nats.connect(access.url(address, ADMIN))
        stack.push_async_callback(admin.close)
        await provision(admin.jetstream())
        yield as_user
