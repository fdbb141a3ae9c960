"""The servers of an embedded run: the bus, with its streams, and the one of MongoDB's protocol."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from centralita.embedded.cluster import Cluster, nats_cluster
from centralita.embedded.credentials import CREDENTIALS_FILE, Credentials
from centralita.embedded.provisioning import provision_bus
from centralita.embedded.servers import Server, restartable_mongo_server, restartable_nats_server
from contracts.accounts import ADMIN


@dataclass(frozen=True, slots=True)
class ProvisionedServers:
    """The running servers, and the users of the bus."""

    bus: Server | Cluster
    mongo: Server
    access: Credentials

    def nats_url(self, user: str) -> str:
        """Returns the address of the bus with this user."""
        return self.access.url(self.bus.url, user)


@asynccontextmanager
async def provisioned_servers(
    folder: Path, *, nats_port: int, mongo_port: int, clustered: bool
) -> AsyncIterator[ProvisionedServers]:
    """Runs the servers during the block. Raises CannotStart. A port 0: the kernel chooses."""
    access = Credentials.generate()
    with (
        _bus(folder / "nats", nats_port, access, clustered=clustered) as bus,
        restartable_mongo_server(folder / "mongo", port=mongo_port) as mongo,
    ):
        access.store(folder / "nats" / CREDENTIALS_FILE.name, bus.url)
        await provision_bus(access.url(bus.url, ADMIN), bus if isinstance(bus, Cluster) else None)
        yield ProvisionedServers(bus, mongo, access)


@contextmanager
def _bus(folder: Path, port: int, access: Credentials, *, clustered: bool) -> Iterator[Server | Cluster]:
    if clustered:
        with nats_cluster(folder, access=access) as cluster:
            yield cluster
    else:
        with restartable_nats_server(folder, port=port, access=access) as server:
            yield server
