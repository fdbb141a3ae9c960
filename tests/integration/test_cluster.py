"""A cluster of three nats-servers: provisioning, the doctor, and clients during the failure of a node."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from tests.builders.consumers import is_settled
from tests.builders.events import campaign_paused

from call_orchestrator.adapters.nats.queue import NatsQueue
from centralita.embedded.cluster import NODES, Cluster, nats_cluster, wait_until_recovered
from centralita.embedded.credentials import Credentials
from centralita.operations.doctor import bus
from chassis.addresses import connection
from chassis.background import cancel_until_done
from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from chassis.findings import Result
from chassis.live import Incomplete, listen
from chassis.provision import NotEnoughNodes, provision
from chassis.serve import connect_bus
from chassis.stream_api import jetstream_of
from chassis.stream_checks import MORE_REPLICAS, PROVISION
from chassis.stream_reader import follow
from chassis.subscriptions import subscribe
from contracts import CampaignPaused, Service, SpeechHeard
from contracts.accounts import ADMIN
from contracts.buckets import BUCKETS, CLIPS
from contracts.consumers import CONSUMERS, CONVERSATION_TURNS
from contracts.examples import EXAMPLES
from contracts.filters import campaign_state_filter
from contracts.permissions import inbox_of
from contracts.streams import CALLS, DEAD_LETTERS, QUEUE, STREAMS

NAMES = tuple(stream.name for stream in (*STREAMS, *(bucket.stream for bucket in BUCKETS)))


@pytest.fixture
def access() -> Credentials:
    return Credentials.generate()


@pytest.fixture
def cluster(access: Credentials, tmp_path: Path) -> Iterator[Cluster]:
    """A new cluster for each test, because a cluster removes deleted streams with a delay."""
    with nats_cluster(tmp_path, access=access) as nodes:
        yield nodes


@pytest.fixture
async def admin(cluster: Cluster, access: Credentials) -> AsyncIterator[Client]:
    client = await nats.connect(**connection(access.url(cluster.url, ADMIN)), reconnect_time_wait=0)
    try:
        yield client
    finally:
        await client.close()


async def connect(addresses: str, access: Credentials, user: str) -> Client:
    """Connects as a service does, or as another user."""
    address = connection(access.url(addresses, user))
    return await nats.connect(**address, inbox_prefix=inbox_of(user), reconnect_time_wait=0)


async def replica_counts(client: Client) -> set[int]:
    return {(await jetstream_of(client, name).stream_info(name)).config.num_replicas or 1 for name in NAMES}


async def wait_for_consumers_on(client: Client, nodes: int) -> None:
    """Waits until every durable consumer is on this number of nodes."""
    for consumer in CONSUMERS:
        while True:
            found = (await client.jetstream().consumer_info(consumer.stream.name, consumer.name)).cluster
            if found and found.leader and len(found.replicas or ()) == nodes - 1:
                break
            await asyncio.sleep(0.1)


async def test_streams_buckets_and_consumers_are_on_the_wanted_number_of_nodes(admin: Client) -> None:
    await provision(admin, replicas=NODES)
    assert await replica_counts(admin) == {NODES}
    await wait_for_consumers_on(admin, NODES)


async def test_streams_on_one_node_get_replicas_and_keep_their_messages(
    admin: Client, cluster: Cluster, access: Credentials
) -> None:
    await provision(admin)
    assert await replica_counts(admin) == {1}
    voice = await connect(cluster.url, access, Service.VOICE)
    js = jetstream_of(voice, CLIPS.stream.name)
    await (await js.object_store(CLIPS.name)).put("a", b"clip")
    await provision(admin, replicas=NODES)
    assert await replica_counts(admin) == {NODES}
    await wait_for_consumers_on(admin, NODES)
    assert (await (await js.object_store(CLIPS.name)).get_info("a")).size == len(b"clip")
    await voice.close()


async def test_provisioning_removes_no_replica(admin: Client) -> None:
    await provision(admin, replicas=NODES)
    await provision(admin)
    assert await replica_counts(admin) == {NODES}


async def test_more_replicas_than_nodes_are_refused(admin: Client) -> None:
    with pytest.raises(NotEnoughNodes):
        await provision(admin, replicas=NODES + 2)


async def test_a_single_server_refuses_more_than_one_replica(bus_client: Client) -> None:
    with pytest.raises(NotEnoughNodes):
        await provision(bus_client, replicas=NODES)


@pytest.mark.parametrize(
    ("existing", "wanted", "result", "advice"),
    [(1, NODES, Result.FAILED, PROVISION), (NODES, 1, Result.WARNING, MORE_REPLICAS)],
)
async def test_the_doctor_finds_missing_and_surplus_replicas(
    admin: Client, existing: int, wanted: int, result: Result, advice: str
) -> None:
    await provision(admin, replicas=existing)
    findings = {finding.check: finding for finding in await bus.check(admin, wanted)}
    for stream in STREAMS:
        finding = findings[f"stream {stream.name}"]
        assert (finding.result, finding.advice) == (result, advice)
    await provision(admin, replicas=wanted)
    healthy = await bus.check(admin, NODES)
    assert {finding.result for finding in healthy if finding.check.startswith("stream ")} == {Result.OK}


def paused(name: str) -> CampaignPaused:
    return campaign_paused(name, at=datetime.now(UTC))


async def test_an_appended_event_is_read_at_once_through_every_node(
    admin: Client, cluster: Cluster, access: Credentials
) -> None:
    """A service reads and appends across its account, by each node."""
    await provision(admin, replicas=NODES)
    for node in cluster.nodes.values():
        client = await connect(node.url, access, Service.ORCHESTRATOR)
        log, event = EventLog(client, CALLS.name, source="test"), paused(node.name)
        for _ in range(100):
            appended = await log.append(event)
            last, read = await log.last(event.subject), await log.read([event.subject])
            assert last
            assert last.sequence == read[-1].sequence == appended.sequence
            assert (last.event, last.envelope) == (read[-1].event, read[-1].envelope)
            filter, first_sequence = campaign_state_filter(node.name), read[0].sequence
            assert await log.read([filter]) == read
            after = await log.read_after(filter, first_sequence, known_sequence=appended.sequence)
            assert after == read[1:]
        await client.close()


async def test_of_many_appends_under_one_guard_one_succeeds_and_the_others_raise_conflict(
    admin: Client,
) -> None:
    await provision(admin, replicas=NODES)
    log, event = EventLog(admin, CALLS.name, source="test"), paused("contended")
    appends = [log.append(event, guard=Guard(event.subject, 0)) for _ in range(20)]
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == len(results) - 1
    assert len(await log.read([event.subject])) == 1


async def test_a_repeated_append_does_not_conflict_with_itself(admin: Client, bus_client: Client) -> None:
    await provision(admin, replicas=NODES)
    for client in (admin, bus_client):
        log, event = EventLog(client, CALLS.name, source="test"), paused("again")
        first = await log.append(event, guard=Guard(event.subject, 0), event_id="mine")
        second = await log.append(event, guard=Guard(event.subject, 0), event_id="mine")
        assert first.sequence == second.sequence
        with pytest.raises(Conflict):
            await log.append(event, guard=Guard(event.subject, 0), event_id="another's")


@pytest.mark.timeout(180)
async def test_followers_and_appends_continue_when_the_leader_is_killed(
    cluster: Cluster, admin: Client, access: Credentials
) -> None:
    await provision(admin, replicas=NODES)
    # One address with the user in it: nodes that the client learns of later must accept that user, too.
    state = (await admin.jetstream().stream_info(CALLS.name)).cluster
    assert state
    leader = cluster.nodes[state.leader or ""]
    client = await connect(leader.url, access, Service.ORCHESTRATOR)
    log, event = EventLog(client, CALLS.name, source="test"), paused("going-on")
    received: list[int] = []

    async def receive() -> None:
        async for batch in follow(client, CALLS, [event.subject], start_sequence=1):
            received.extend(message.seq for message in batch)

    receiving = asyncio.create_task(receive())
    appended = [(await log.append(event)).sequence for _ in range(5)]
    while received != appended:
        await asyncio.sleep(0.05)
    leader.kill()
    appended += [(await log.append(event)).sequence for _ in range(5)]
    while received != appended:
        await asyncio.sleep(0.05)
    assert [stored.sequence for stored in await log.read([event.subject])] == appended
    leader.start()
    await wait_until_recovered(cluster, admin)
    receiving.cancel()
    await client.close()


@pytest.mark.timeout(180)
async def test_listeners_on_every_node_lose_nothing_when_the_leader_is_killed(
    cluster: Cluster, admin: Client, access: Credentials
) -> None:
    await provision(admin, replicas=NODES)
    clients = [await connect(node.url, access, Service.EDGE) for node in cluster.nodes.values()]
    log, received = EventLog(admin, CALLS.name, source="test"), [list[int]() for _ in clients]
    filters = ["campaign.*.*"]

    async def receive(client: Client, sequences: list[int]) -> None:
        while True:
            try:
                async with aclosing(listen(client, CALLS, filters, start_sequence=1)) as batches:
                    async for batch in batches:
                        sequences += [message.seq for message in batch]
            except Incomplete:
                sequences.clear()

    async def append(number: int) -> list[int]:
        event = paused(f"campaign-{number}")
        return [(await log.append(event)).sequence for _ in range(30)]

    receiving = [asyncio.create_task(receive(*one)) for one in zip(clients, received, strict=True)]
    appending = [asyncio.create_task(append(number)) for number in range(8)]
    while len(received[0]) < 40:
        await asyncio.sleep(0.01)
    state = (await admin.jetstream().stream_info(CALLS.name)).cluster
    assert state
    leader = cluster.nodes[state.leader or ""]
    leader.kill()
    appended = sorted(sequence for sequences in await asyncio.gather(*appending) for sequence in sequences)
    leader.start()
    await wait_until_recovered(cluster, admin)
    appended.append((await log.append(paused("after"))).sequence)
    for sequences in received:
        while sequences != appended:
            await asyncio.sleep(0.05)
    for task in receiving:
        await cancel_until_done(task)
    for client in clients:
        await client.close()


@pytest.mark.timeout(240)
async def test_a_consumer_across_accounts_loses_nothing_when_its_leader_is_killed(
    cluster: Cluster, admin: Client, access: Credentials
) -> None:
    """What is appended before or after the failure is handled once, and what is appended during it at least once."""
    await provision(admin, replicas=NODES)
    await wait_for_consumers_on(admin, NODES)
    received: list[UUID] = []

    async def on_speech_heard(event: SpeechHeard, _: StoredEvent[SpeechHeard]) -> None:
        received.append(event.call_id)

    replicas = [
        await connect_bus(Service.CONVERSATION, access.url(cluster.url, Service.CONVERSATION)) for _ in range(2)
    ]
    for replica in replicas:
        subscribe(replica.broker, CONVERSATION_TURNS, on_speech_heard)
        await replica.broker.start()
    edge = await connect(cluster.url, access, Service.EDGE)
    log, speech = EventLog(edge, CALLS.name, source=Service.EDGE), EXAMPLES[SpeechHeard.event_name]

    async def append(count: int) -> list[UUID]:
        ids = [uuid4() for _ in range(count)]
        for call_id in ids:
            await log.append(speech.model_copy(update={"call_id": call_id}))
        return ids

    async def settled() -> None:
        while True:
            with suppress(NatsError, TimeoutError):  # the consumer has no leader yet
                if await is_settled(admin, CONVERSATION_TURNS):
                    return
            await asyncio.sleep(0.1)

    before = await append(30)
    await settled()
    assert sorted(received) == sorted(before)
    appending = asyncio.create_task(append(200))
    while len(received) < len(before) + 20:
        await asyncio.sleep(0.01)
    state = (await admin.jetstream().consumer_info(CALLS.name, CONVERSATION_TURNS.name)).cluster
    assert state
    leader = cluster.nodes[state.leader or ""]
    leader.kill()
    during = await appending
    leader.start()
    await wait_until_recovered(cluster, admin)
    await settled()
    assert set(received) == {*before, *during}
    assert not set(before) & set(received[len(before) :])
    handled = len(received)
    after = await append(30)
    await settled()
    assert sorted(received[handled:]) == sorted(after)
    assert (await admin.jetstream().stream_info(DEAD_LETTERS.name)).state.messages == 0
    for replica in replicas:
        await replica.broker.stop()
    await edge.close()


async def test_leaving_the_queue_twice_is_harmless(admin: Client, bus_client: Client) -> None:
    await provision(admin, replicas=NODES)
    for client in (admin, bus_client):
        queue = NatsQueue(client, EventLog(client, QUEUE.name, source="test"))
        sequence = (await client.jetstream().publish(f"queue.joined.{uuid4()}", b"{}")).seq
        for _ in range(2):
            await queue.leave(sequence)
        assert (await jetstream_of(client, QUEUE.name).stream_info(QUEUE.name)).state.messages == 0
