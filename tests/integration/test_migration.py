"""The migration of an installation whose CALLS contains schedules, on a real server of its own, also if interrupted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from tests.builders.calls import a_call
from tests.builders.events import call_created, status_changed

from centralita.embedded.cluster import NODES, nats_cluster, wait_until_recovered
from centralita.embedded.credentials import Credentials
from centralita.embedded.provisioning import provision_bus
from centralita.embedded.servers import nats_server
from centralita.operations.doctor import bus
from chassis.addresses import connection
from chassis.event_log import EventLog
from chassis.findings import Result
from chassis.migrate import MigrationRefused, migrate
from chassis.migration_checks import COPY_OF_CALLS, NotMigrated
from chassis.provision import provision
from chassis.stream_api import jetstream_of
from chassis.stream_checks import MIGRATE
from chassis.stream_reader import last_sequence, read
from chassis.stream_replacement import other_clients
from contracts import Call, CallStatus, TimerDue
from contracts.accounts import ADMIN
from contracts.consumers import CONSUMERS
from contracts.events.timers import schedule_subject
from contracts.examples import EXAMPLES
from contracts.streams import ARCHIVE_ID, ARCHIVED_SEQUENCE, CALLS, SCHEDULES, STREAMS

OLD_CALLS = StreamConfig(
    name="CALLS",
    description="All events of all calls: the system of record",
    subjects=[
        "call.*.*.*",
        "admission.*.*",
        "dial.*.*",
        "telephony.*.*",
        "speech.*.*",
        "reply.*.*",
        "audio.*.*",
        "conversation.*.*",
        "campaign.paused.*",
        "campaign.resumed.*",
        "timer.*.*",
    ],
    retention=RetentionPolicy.LIMITS,
    storage=StorageType.FILE,
    num_replicas=1,
    discard=DiscardPolicy.OLD,
    allow_direct=True,
    allow_msg_schedules=True,
    metadata={ARCHIVE_ID: "an-archive", ARCHIVED_SEQUENCE: "0"},
)
"""The stream of the builds before the stream SCHEDULES."""
OLD_FACTS = ["dial.placed.*", "telephony.status_reported.*", "timer.due.*", "admission.granted.*"]
LATER = datetime.now(UTC).replace(microsecond=123) + timedelta(hours=5)
Stored = tuple[int, str, dict[str, str] | None, bytes, datetime]


@pytest.fixture
def old_url(tmp_path: Path) -> Iterator[str]:
    with nats_server(tmp_path) as url:
        yield url


@pytest.fixture
async def client(old_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr("chassis.stream_replacement._ANSWERS_SECONDS", 0.1)
    client = await nats.connect(old_url, name="admin")
    yield client
    await client.close()


def consumer_of_old_build(name: str, filters: list[str]) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        filter_subjects=filters,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=30,
        max_ack_pending=2_000,
        deliver_subject=f"deliver.{name}",
        deliver_group=name,
    )


async def set_old_timer(js: JetStreamContext, call_id: UUID, instant: datetime, last_sequence: int) -> None:
    """Sets a timer as the builds before this one did."""
    timer = TimerDue(call_id=call_id, deadline_at=instant)
    headers = {
        "ce-id": str(uuid4()),
        "ce-source": "call-orchestrator",
        "Nats-Msg-Id": str(uuid4()),
        "Nats-Schedule": f"@at {instant.isoformat().replace('+00:00', 'Z')}",
        "Nats-Schedule-Target": timer.subject,
        "Nats-Expected-Last-Subject-Sequence": str(last_sequence),
        "Nats-Expected-Last-Subject-Sequence-Subject": f"call.*.{call_id}.*",
    }
    await js.publish(f"timer.set.{call_id}", timer.body(), headers=headers)


class OldInstallation:
    """Calls that wait, one that is dialled, one that has ended; acknowledged messages and others that are not."""

    def __init__(self, client: Client, replicas: int = 1) -> None:
        self.client, self.js, self.replicas = client, client.jetstream(), replicas
        self.log = EventLog(client, CALLS.name, source="call-orchestrator")
        self.waiting: list[Call] = []

    async def build(self) -> None:
        await self.js.add_stream(replace(OLD_CALLS, num_replicas=self.replicas))
        await self.js.add_consumer(CALLS.name, consumer_of_old_build("orchestrator-facts", OLD_FACTS))
        await self.js.add_consumer(CALLS.name, consumer_of_old_build("voice-dials", ["call.status_changed.*.dialing"]))
        await self.js.add_consumer(CALLS.name, consumer_of_old_build("voice-greetings", ["audio.requested.*"]))
        for number in range(6):
            call = a_call(request_id=f"waits-{number}", deadline_at=LATER + timedelta(minutes=number))
            created = await self.log.append(call_created(call))
            await set_old_timer(self.js, call.call_id, LATER + timedelta(minutes=number), created.sequence)
            self.waiting.append(call)
        for number in range(3):
            dialing = a_call(CallStatus.DIALING, request_id=f"dials-{number}", deadline_at=None)
            appended = await self.log.append(status_changed(dialing))
            await self.js.publish(f"admission.granted.{dialing.call_id}", b"{}")
            await set_old_timer(self.js, dialing.call_id, datetime.now(UTC), appended.sequence)
        await self._until_fired(3)
        await self.acknowledge("orchestrator-facts", 4)
        await self.acknowledge("voice-dials", 3)
        await self.log.append(EXAMPLES["telephony.status_reported"])
        await set_old_timer(self.js, self.waiting[0].call_id, LATER, (await self._state(self.waiting[0])))

    async def _state(self, call: Call) -> int:
        stored = await self.log.last(f"call.*.{call.call_id}.*")
        assert stored
        return stored.sequence

    async def _until_fired(self, count: int) -> None:
        async with asyncio.timeout(60):
            while True:
                info = await self.js.stream_info(CALLS.name, subjects_filter="timer.due.*")
                if len(info.state.subjects or ()) == count:
                    return
                await asyncio.sleep(0.1)

    async def acknowledge(self, consumer: str, count: int) -> None:
        """Acknowledges the first messages of a consumer; it delivers the others, which stay unacknowledged."""
        received = await self.deliveries(consumer, count)
        for message in received[:count]:
            await message.ack_sync()

    async def deliveries(self, consumer: str, at_least: int) -> list[Msg]:
        subscription = await self.client.subscribe(f"deliver.{consumer}", queue=consumer)
        received = [await subscription.next_msg(timeout=60) for _ in range(at_least)]
        try:
            while True:
                received.append(await subscription.next_msg(timeout=0.3))
        except nats.errors.TimeoutError:
            await subscription.unsubscribe()
        return received

    async def messages(self) -> list[Stored]:
        """Returns all messages of CALLS but schedules."""
        end_sequence = await last_sequence(self.client, CALLS.name)
        async with aclosing(read(self.client, CALLS.name, end_sequence=end_sequence)) as delivered:
            return [
                (one.seq, one.subject, one.headers, one.data, one.time)
                async for one in delivered
                if not one.subject.startswith("timer.set")
            ]


@pytest.fixture
async def old(client: Client) -> OldInstallation:
    installation = OldInstallation(client)
    await installation.build()
    return installation


async def check_migrated(old: OldInstallation, before: list[Stored]) -> None:
    assert await old.messages() == before
    metadata = (await old.js.stream_info(CALLS.name)).config.metadata or {}
    assert {name: metadata.get(name) for name in (ARCHIVE_ID, ARCHIVED_SEQUENCE)} == OLD_CALLS.metadata
    schedules = (await old.js.stream_info(SCHEDULES.name, subjects_filter=">")).state.subjects or {}
    assert set(schedules) == {schedule_subject(call) for call in old.waiting}
    for call in old.waiting:
        timer = await old.js.get_last_msg(SCHEDULES.name, schedule_subject(call) or "")
        assert call.deadline_at
        assert (timer.headers or {})["Nats-Schedule"] == f"@at {call.deadline_at.isoformat().replace('+00:00', 'Z')}"
        assert (timer.headers or {})["ce-source"] == "call-orchestrator"
    findings = {one.check: one for one in await bus.check(old.client)}
    assert {findings[check].result for check in findings if check.startswith("stream ")} == {Result.OK}
    assert Result.FAILED not in {finding.result for finding in findings.values()}
    assert {info.name for info in await old.js.consumers_info(CALLS.name)} == {
        consumer.name for consumer in CONSUMERS if consumer.stream is CALLS
    }
    with pytest.raises(NotFoundError):
        await old.js.stream_info(COPY_OF_CALLS)


async def check_deliveries(old: OldInstallation, before: list[Stored]) -> None:
    """Four facts and all orders to dial were acknowledged; the rest is delivered, and what comes then."""
    due = await old.log.append(EXAMPLES["telephony.status_reported"])
    facts = [
        sequence
        for sequence, subject, *_ in before
        if subject.startswith(("admission.granted.", "timer.due.", "telephony.status_reported."))
    ]
    delivered = await old.deliveries("orchestrator-facts", 1)
    assert [one.metadata.sequence.stream for one in delivered] == [*facts[4:], due.sequence]
    dialing = await old.log.append(status_changed(a_call(CallStatus.DIALING, request_id="new")))
    [order] = await old.deliveries("voice-dials", 1)
    assert order.metadata.sequence.stream == dialing.sequence > before[-1][0]


async def test_a_migration_keeps_messages_sequences_positions_and_pending_deadlines(old: OldInstallation) -> None:
    before = await old.messages()
    with pytest.raises(NotMigrated, match=r"python -m chassis\.migrate"):
        await provision(old.client)
    [finding] = [one for one in await bus.check(old.client) if one.check == "stream CALLS"]
    assert finding.advice == MIGRATE
    assert await old.messages() == before, "provisioning has changed nothing"
    await migrate(old.client)
    await check_migrated(old, before)
    await check_deliveries(old, before)
    await migrate(old.client)
    assert (await old.messages())[: len(before)] == before, "a second run changes nothing"


async def test_a_moved_deadline_fires_and_is_copied_to_the_log(old: OldInstallation) -> None:
    soon = a_call(request_id="soon", deadline_at=LATER)
    created = await old.log.append(call_created(soon))
    await set_old_timer(old.js, soon.call_id, datetime.now(UTC) + timedelta(seconds=3), created.sequence)
    await migrate(old.client)
    async with asyncio.timeout(60):
        while not (fired := await old.log.last(TimerDue.subject_for(soon.call_id))):
            await asyncio.sleep(0.1)
    assert fired.envelope.source == "call-orchestrator"


class Killed(Exception):
    """Stands for SIGKILL."""


async def test_a_migration_that_is_killed_after_any_request_can_be_continued(
    old: OldInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is killed after one more request than the run before, and has then changed more on the server."""
    before, request, runs, left = await old.messages(), Client.request, 0, 0

    async def request_or_kill(self: Client, *arguments: Any, **options: Any) -> Msg:
        nonlocal left
        reply = await request(self, *arguments, **options)
        left -= 1
        if left < 0:
            raise Killed
        return reply

    while True:
        with monkeypatch.context() as patch, suppress(Killed):
            left, runs = runs, runs + 1
            patch.setattr(Client, "request", request_or_kill)
            await migrate(old.client)
            break
        if await is_incomplete(old.js):
            with pytest.raises(NotMigrated):
                await provision(old.client)
    assert runs > 20
    await check_migrated(old, before)
    await check_deliveries(old, before)


async def is_incomplete(js: JetStreamContext) -> bool:
    streams = {info.config.name: info.config for info in await js.streams_info()}
    return COPY_OF_CALLS in streams or bool(streams[CALLS.name].allow_msg_schedules)


async def test_events_that_a_service_appends_after_an_interruption_are_kept(old: OldInstallation) -> None:
    def kill_before_the_deletion(step: str) -> None:
        if step == "CALLS is deleted":
            raise Killed

    with pytest.raises(Killed):
        await migrate(old.client, report=kill_before_the_deletion)
    await old.log.append(EXAMPLES["dial.placed"])
    before = await old.messages()
    await migrate(old.client)
    await check_migrated(old, before)


async def test_a_migration_is_refused_while_a_service_is_connected(old: OldInstallation, old_url: str) -> None:
    service = await nats.connect(old_url, name="voice")
    with pytest.raises(MigrationRefused, match="other clients are connected: voice"):
        await migrate(old.client)
    assert (await old.js.stream_info(CALLS.name)).config.subjects == OLD_CALLS.subjects
    await service.close()


async def test_a_new_installation_and_a_migrated_one_are_only_provisioned(client: Client) -> None:
    for _ in range(2):
        steps: list[str] = []
        await migrate(client, report=steps.append)
        assert steps == []


async def test_a_cluster_is_migrated_and_keeps_its_replicas(tmp_path: Path) -> None:
    access = Credentials.generate()
    with nats_cluster(tmp_path, access=access) as cluster:
        client = await nats.connect(**connection(access.url(cluster.url, ADMIN)), name="admin")
        other = await nats.connect(**connection(access.url(cluster.nodes["n3"].url, "edge")), name="edge")
        old = OldInstallation(client, replicas=NODES)
        await old.build()
        with pytest.raises(MigrationRefused, match="other clients are connected: edge"):
            await migrate(client, replicas=NODES)
        await other.close()
        async with asyncio.timeout(60):
            while await other_clients(client):
                await asyncio.sleep(0.1)
        before = await old.messages()
        await migrate(client, replicas=NODES)
        await wait_until_recovered(cluster, client)
        for stream in STREAMS:
            info = await jetstream_of(client, stream.name, 60).stream_info(stream.name)
            assert info.config.num_replicas == NODES
        await check_deliveries(old, before)
        assert (await old.messages())[: len(before)] == before
        await client.close()


async def test_an_embedded_run_migrates_its_folder_by_itself(old: OldInstallation, old_url: str) -> None:
    before = await old.messages()
    await old.client.close()
    await provision_bus(old_url, None)
    client = await nats.connect(old_url)
    migrated = OldInstallation(client)
    migrated.waiting = old.waiting
    await check_migrated(migrated, before)
    await client.close()
