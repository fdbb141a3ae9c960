"""Three nats-servers: what provisioning makes of them, what the doctor says, and what a client sees of a failure."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client
from tests.builders.events import campaign_paused

from call_orchestrator.adapters.nats.queue import NatsQueue
from centralita.embedded.cluster import NODES, Cluster, nats_cluster, wait_until_recovered
from centralita.embedded.credentials import Credentials
from centralita.operations.doctor import bus
from centralita.operations.doctor.checks import Result
from centralita.operations.doctor.stream_settings import MORE_REPLICAS, PROVISION
from chassis.addresses import connection
from chassis.event_log import Conflict, EventLog, Guard
from chassis.provision import NotEnoughNodes, provision
from chassis.stream_reader import follow
from contracts import CampaignPaused
from contracts.permissions import ADMIN
from contracts.streams import BUCKETS, CALLS, CLIPS, CONSUMERS, QUEUE, STREAMS

NAMES = tuple(stream.name for stream in (*STREAMS, *(bucket.stream for bucket in BUCKETS)))


@pytest.fixture
def access() -> Credentials:
    return Credentials.generate()


@pytest.fixture
def cluster(access: Credentials, tmp_path: Path) -> Iterator[Cluster]:
    """One for each test: what a cluster forgets, it forgets after a while."""
    with nats_cluster(tmp_path, access=access) as nodes:
        yield nodes


@pytest.fixture
async def admin(cluster: Cluster, access: Credentials) -> AsyncIterator[Client]:
    client = await nats.connect(**connection(access.url(cluster.url, ADMIN)), reconnect_time_wait=0)
    try:
        yield client
    finally:
        await client.close()


async def stand_on(client: Client) -> set[int]:
    js = client.jetstream()
    return {(await js.stream_info(name)).config.num_replicas or 1 for name in NAMES}


async def consumers_stand_on(client: Client, nodes: int) -> None:
    """Waits until every durable consumer is where its stream is."""
    for consumer in CONSUMERS:
        while True:
            found = (await client.jetstream().consumer_info(consumer.stream.name, consumer.name)).cluster
            if found and found.leader and len(found.replicas or ()) == nodes - 1:
                break
            await asyncio.sleep(0.1)


async def test_everything_that_is_provisioned_stands_on_as_many_nodes_as_are_asked_for(admin: Client) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    assert await stand_on(admin) == {NODES}
    await consumers_stand_on(admin, NODES)


async def test_what_stood_on_one_node_is_given_replicas_and_keeps_what_it_held(admin: Client) -> None:
    js = admin.jetstream()
    await provision(js)
    assert await stand_on(admin) == {1}
    await (await js.object_store(CLIPS.name)).put("a", b"clip")
    await provision(js, replicas=NODES)
    assert await stand_on(admin) == {NODES}
    await consumers_stand_on(admin, NODES)
    assert (await (await js.object_store(CLIPS.name)).get("a")).data == b"clip"


async def test_no_replica_is_ever_taken_away(admin: Client) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    await provision(admin.jetstream())
    assert await stand_on(admin) == {NODES}


async def test_more_replicas_than_there_are_nodes_are_refused(admin: Client) -> None:
    with pytest.raises(NotEnoughNodes):
        await provision(admin.jetstream(), replicas=NODES + 2)


async def test_more_replicas_than_one_are_refused_by_a_server_that_is_alone(bus_client: Client) -> None:
    with pytest.raises(NotEnoughNodes):
        await provision(bus_client.jetstream(), replicas=NODES)


@pytest.mark.parametrize(
    ("there", "asked", "result", "advice"),
    [(1, NODES, Result.FAILED, PROVISION), (NODES, 1, Result.WARNING, MORE_REPLICAS)],
)
async def test_the_doctor_says_where_replicas_are_missing_or_were_not_asked_for(
    admin: Client, there: int, asked: int, result: Result, advice: str
) -> None:
    await provision(admin.jetstream(), replicas=there)
    findings = {one.check: one for one in await bus.check(admin, asked)}
    for stream in STREAMS:
        finding = findings[f"stream {stream.name}"]
        assert (finding.result, finding.advice) == (result, advice)
    await provision(admin.jetstream(), replicas=asked)
    healthy = await bus.check(admin, NODES)
    assert {one.result for one in healthy if one.check.startswith("stream ")} == {Result.OK}


def paused(name: str) -> CampaignPaused:
    return campaign_paused(name, at=datetime.now(UTC))


async def test_what_was_appended_is_what_is_read_whichever_node_one_is_connected_to(
    admin: Client, cluster: Cluster, access: Credentials
) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    for node in cluster.nodes.values():
        client = await nats.connect(**connection(access.url(node.url, ADMIN)))
        log, event = EventLog(client, CALLS.name, source="test"), paused(node.name)
        for _ in range(100):
            appended = await log.append(event)
            last, read = await log.last(event.subject), await log.read([event.subject])
            assert last
            assert last.sequence == read[-1].sequence == appended.sequence
            assert (last.event, last.envelope) == (read[-1].event, read[-1].envelope)
        await client.close()


async def test_of_many_who_append_under_one_guard_one_does_and_the_others_are_told_that_they_have_lost(
    admin: Client,
) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    log, event = EventLog(admin, CALLS.name, source="test"), paused("contended")
    appends = [log.append(event, guard=Guard(event.subject, 0)) for _ in range(20)]
    ended = await asyncio.gather(*appends, return_exceptions=True)
    assert sum(isinstance(end, Conflict) for end in ended) == len(ended) - 1
    assert len(await log.read([event.subject])) == 1


async def test_an_append_whose_acknowledgement_is_lost_is_no_rival_of_itself(admin: Client, bus_client: Client) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    for client in (admin, bus_client):
        log, event = EventLog(client, CALLS.name, source="test"), paused("again")
        first = await log.append(event, guard=Guard(event.subject, 0), event_id="mine")
        second = await log.append(event, guard=Guard(event.subject, 0), event_id="mine")
        assert first.sequence == second.sequence
        with pytest.raises(Conflict):
            await log.append(event, guard=Guard(event.subject, 0), event_id="another's")


@pytest.mark.timeout(180)
async def test_who_reads_and_who_appends_go_on_when_the_leader_is_killed(
    cluster: Cluster, admin: Client, access: Credentials
) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    # One address, and the user in it: the other nodes are heard of, and have to let the client in too.
    state = (await admin.jetstream().stream_info(CALLS.name)).cluster
    assert state
    leader = cluster.nodes[state.leader or ""]
    client = await nats.connect(**connection(access.url(leader.url, ADMIN)), reconnect_time_wait=0)
    log, event = EventLog(client, CALLS.name, source="test"), paused("going-on")
    heard: list[int] = []

    async def hear() -> None:
        async for batch in follow(client, CALLS, [event.subject], start_sequence=1):
            heard.extend(message.metadata.sequence.stream for message in batch)

    hearing = asyncio.create_task(hear())
    appended = [(await log.append(event)).sequence for _ in range(5)]
    while heard != appended:
        await asyncio.sleep(0.05)
    leader.kill()
    appended += [(await log.append(event)).sequence for _ in range(5)]
    while heard != appended:
        await asyncio.sleep(0.05)
    assert [found.sequence for found in await log.read([event.subject])] == appended
    leader.start()
    await wait_until_recovered(cluster, admin)
    hearing.cancel()
    await client.close()


async def test_who_has_left_the_queue_may_leave_it_again(admin: Client, bus_client: Client) -> None:
    await provision(admin.jetstream(), replicas=NODES)
    for client in (admin, bus_client):
        queue = NatsQueue(client, EventLog(client, QUEUE.name, source="test"))
        place = (await client.jetstream().publish(f"queue.joined.{uuid4()}", b"{}")).seq
        for _ in range(2):
            await queue.leave(place)
        assert (await client.jetstream().stream_info(QUEUE.name)).state.messages == 0
