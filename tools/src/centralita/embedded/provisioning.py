"""Provisioning the bus of an embedded system, whose folder may be that of an older build."""

import asyncio

import nats
from nats.aio.client import Client

from centralita.embedded.cluster import NODES, Cluster
from centralita.embedded.servers import START_SECONDS, CannotStart
from chassis.addresses import connection
from chassis.migrate import MigrationRefused, migrate
from chassis.migration_checks import NotMigrated, NotSealed, NotSealedByFormerBuild
from chassis.provision import NotEnoughNodes, provision
from chassis.stream_copy import CopyInterrupted


async def provision_bus(admin_url: str, cluster: Cluster | None) -> None:
    """Provisions the bus, and migrates that of an older build before.

    A node of the cluster may miss a heartbeat on a loaded machine: waits until it is back. A migration takes as long as
    it has messages to store.
    """
    replicas = NODES if cluster else 1
    client = await nats.connect(**connection(admin_url))
    try:
        await _provision_within(client, replicas, cluster)
    except (NotSealed, NotSealedByFormerBuild) as error:
        raise CannotStart(str(error)) from error
    except NotMigrated:
        try:
            await migrate(client, replicas=replicas)
        except (MigrationRefused, CopyInterrupted) as error:
            raise CannotStart(f"the data of an older build could not be migrated: {error}") from error
    finally:
        await client.close()


async def _provision_within(client: Client, replicas: int, cluster: Cluster | None) -> None:
    """Provisions within `START_SECONDS`. Raises CannotStart, and NotMigrated."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    return await provision(client, replicas=replicas)
                except NotEnoughNodes:
                    if cluster is None:
                        raise
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(cluster.wait_until_formed)
    except TimeoutError as error:
        raise CannotStart(f"the streams could not be created on {replicas} nodes within {START_SECONDS} s") from error
