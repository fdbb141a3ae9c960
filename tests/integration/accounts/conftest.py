"""A server with the accounts of the contracts, with and without the permissions of users, and one without accounts."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from tests.integration.accounts.arena import Arena, arena

from centralita.embedded import cluster, servers
from centralita.embedded.credentials import Credentials
from contracts.nats_configuration import configuration

WALLS = {"imports and permissions": True, "imports alone": False}
"""With and without the second fence."""


@dataclass(frozen=True, slots=True)
class Protected:
    """A server with accounts."""

    address: Callable[[str], str]
    """Returns the URL of a user."""
    has_permissions: bool


@contextmanager
def with_configuration(text: str) -> Iterator[None]:
    """Lets the embedded servers have another configuration of accounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "configuration", lambda: text)
        patch.setattr(cluster, "configuration", lambda: text)
        yield


@pytest.fixture(scope="module", params=WALLS, ids=[name.replace(" ", "-") for name in WALLS])
def protected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    access, has_permissions = Credentials.generate(), WALLS[request.param]
    with (
        with_configuration(configuration(has_permissions=has_permissions)),
        servers.nats_server(tmp_path_factory.mktemp("accounts"), access=access) as url,
    ):
        yield Protected(partial(access.url, url), has_permissions)


@pytest.fixture
async def attacked(protected: Protected) -> AsyncIterator[Arena]:
    async with arena(protected.address, has_permissions=protected.has_permissions) as opened:
        yield opened
