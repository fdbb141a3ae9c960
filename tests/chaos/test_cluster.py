"""``kill -9`` of each node of a NATS cluster in turn during a campaign, beginning with the leader of the log."""

import asyncio
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import wait_until_projected
from centralita.demo.reconciliation import Reconciliation, reconcile
from centralita.embedded.cluster import Cluster, wait_until_recovered
from centralita.embedded.ledger import Dial, dials, max_concurrent, max_dials_in_window
from centralita.embedded.system import System, running
from chassis.addresses import connection
from chassis.stream_api import jetstream_of
from contracts import call_id_of
from contracts.streams import CALLS

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
CALL_COUNT = 30
DIALS_PER_SECOND, SLOTS = 6, 8
SETTINGS = {"TWILIO_CALLS_PER_SECOND": str(DIALS_PER_SECOND), "MAX_CONCURRENT_CALLS": str(SLOTS)}
REPLICAS = {"call-orchestrator": 2, "voice": 2}


async def log_leader(client: Client) -> str:
    cluster = (await jetstream_of(client, CALLS.name).stream_info(CALLS.name)).cluster
    assert cluster
    assert cluster.leader
    return cluster.leader


async def kill_each_node_in_turn(cluster: Cluster, client: Client) -> None:
    first = await log_leader(client)
    for name in (first, *(name for name in cluster.nodes if name != first)):
        await asyncio.sleep(2)
        cluster.nodes[name].kill()
        await asyncio.sleep(1)
        cluster.nodes[name].start()
        await wait_until_recovered(cluster, client)


async def run_campaign(system: System) -> tuple[Reconciliation, list[Dial]]:
    assert system.cluster
    assert system.vendors.control
    client = await nats.connect(**connection(system.nats_url), max_reconnect_attempts=-1, reconnect_time_wait=1)
    wanted = [
        request.model_copy(update={"call_timeout_seconds": 5}) for request in requests(run="nodes", count=CALL_COUNT)
    ]
    ids = [call_id_of(request.request_id or "") for request in wanted]
    await publish(client, wanted)
    await kill_each_node_in_turn(system.cluster, client)
    await wait_until_projected(system.mongo_url, ids, timeout=300)
    result = await reconcile(client, system, ids)
    await client.close()
    return result, await dials(system.vendors.control)


@pytest.mark.timeout(480)
async def test_every_call_ends_and_no_attempt_is_dialled_twice_when_any_node_is_killed(tmp_path: Path) -> None:
    clustered_system = running(
        tmp_path, environment=ENVIRONMENT, seed=5, speed=10, settings=SETTINGS, replicas=REPLICAS, clustered=True
    )
    async with clustered_system as system:
        result, all_dials = await run_campaign(system)
    assert result.problems == ()
    assert result.max_dials_of_one_attempt == 1
    assert result.dials + result.refused + result.unsent == result.attempts
    assert max_dials_in_window(dial.created_at for dial in all_dials) <= DIALS_PER_SECOND
    assert max_concurrent(all_dials) <= SLOTS
    assert [name for name, service in system.services.items() if service.restarts] == []
