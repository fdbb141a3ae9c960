"""A node of a cluster that was started with an older permissions.conf, in which most users have no account."""

from pathlib import Path

import nats
import pytest
from tests.builders.events import campaign_paused

from centralita.embedded.cluster import NODES, nats_cluster, wait_until_recovered
from centralita.embedded.credentials import Credentials
from chassis.addresses import connection
from chassis.event_log import EventLog
from chassis.provision import provision
from chassis.stream_api import jetstream_of
from contracts import QueueJoined, Service
from contracts.accounts import ADMIN, CENTRAL, SYSTEM
from contracts.examples import EXAMPLES
from contracts.permissions import inbox_of, users
from contracts.streams import CALLS, QUEUE


def older_configuration() -> str:
    """Returns the accounts of an older build: all users are in the central one."""
    members = ", ".join(f'{{user: "{user.name}", password: ${user.password_variable}}}' for user in users())
    central = f"{CENTRAL}: {{ jetstream: enabled, users: [{members}] }}"
    return f"system_account: {SYSTEM}\naccounts {{ {SYSTEM}: {{}}, {central} }}\n"


@pytest.mark.timeout(240)
async def test_a_node_with_an_older_configuration_holds_up_no_other_node_and_loses_nothing(tmp_path: Path) -> None:
    access = Credentials.generate()
    with nats_cluster(tmp_path, access=access) as cluster:
        current, *_, old = cluster.nodes.values()
        address = connection(access.url(current.url, ADMIN))
        admin = await nats.connect(**address, reconnect_time_wait=0)
        await provision(admin, replicas=NODES)
        file = old.folder / "permissions.conf"
        configured = file.read_text()
        old.kill()
        file.write_text(older_configuration())
        old.start()

        user = Service.ORCHESTRATOR
        service = await nats.connect(**connection(access.url(current.url, user)), inbox_prefix=inbox_of(user))
        log = EventLog(service, CALLS.name, source=user)
        appended = [await log.append(campaign_paused(f"campaign-{number}")) for number in range(20)]
        queue = EventLog(service, QUEUE.name, source=user)
        joined = (await queue.append(EXAMPLES[QueueJoined.event_name])).sequence

        old.kill()
        file.write_text(configured)
        old.start()
        await wait_until_recovered(cluster, admin)
        reader = await nats.connect(**connection(access.url(old.url, user)), inbox_prefix=inbox_of(user))
        found = await EventLog(reader, CALLS.name, source=user).read(["campaign.*.*"])
        assert [one.sequence for one in found] == [one.sequence for one in appended]
        assert (await jetstream_of(reader, QUEUE.name).stream_info(QUEUE.name)).state.last_seq == joined
        for client in (admin, service, reader):
            await client.close()
