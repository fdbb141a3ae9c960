"""An installation whose streams are all in one account is moved, on real servers, also if it is interrupted.

The former servers have one account with all users. Its mappings let this build fill it, as former builds did.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from nats.js.errors import APIError
from tests.builders.calls import a_call
from tests.integration.call_orchestrator.conftest import outcome_of, running, until

from centralita.embedded import cluster as embedded_cluster
from centralita.embedded import servers
from centralita.embedded.cluster import NODES, nats_cluster, wait_until_recovered
from centralita.embedded.credentials import Credentials
from centralita.embedded.provisioning import provision_bus
from centralita.embedded.servers import CannotStart, Server, restartable_nats_server
from chassis.addresses import connection
from chassis.deletion import delete_message
from chassis.event_log import EventLog
from chassis.migrate import MigrationRefused, migrate
from chassis.migration_checks import NotMigrated, NotSealedByFormerBuild
from chassis.misplaced_streams import OWNED
from chassis.provision import provision, stream_config
from chassis.provisioned import wait_until_provisioned
from chassis.stream_api import find_stream, jetstream_of
from chassis.stream_copy import kept_headers
from chassis.stream_move import CACHES
from chassis.stream_reader import last_sequence, read
from chassis.stream_replacement import other_clients
from contracts import (
    Call,
    CallCreated,
    CampaignCreateRequested,
    CampaignStartRequested,
    ContactRequested,
    QueueJoined,
    RequestedTerms,
    Service,
)
from contracts.accounts import ADMIN, CENTRAL
from contracts.buckets import CALL_CLIPS, CLIPS, DIALS
from contracts.callees import callee_of
from contracts.contacts import group_of, waiting_contact
from contracts.nats_configuration import open_configuration
from contracts.number_digests import NumberDigests
from contracts.permissions import inbox_of, users
from contracts.streams import CALLS, CONTACTS, QUEUE, Stream, sealed_copy
from edge.adapters.dials import NatsDialCounter

DIGESTS = NumberDigests(b"k" * 32)
NOW = datetime.now(UTC)
TODAY = date(2026, 11, 30)
COPIED = tuple(stream for stream in OWNED if stream.name not in CACHES)
LIMITS = {"max_concurrent_calls": 1, "twilio_calls_per_second": 100}
TERMS = RequestedTerms(script_template="Hello {{name}}.", variables={"name": "neighbour"}, language="en")


@pytest.fixture(autouse=True)
def _may_call_the_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_COUNTRIES", "US")
    monkeypatch.setattr("chassis.stream_replacement._ANSWERS_SECONDS", 0.1)


def former_configuration() -> str:
    """One account with all users and streams. JetStream's API has also the subjects of this build there."""
    known = "\n".join(f'{{user: "{user.name}", password: ${user.password_variable}}}' for user in users())
    _, keyword, mappings = open_configuration().partition("mappings:")
    return f"accounts {{\n{CENTRAL}: {{\njetstream: enabled\n{keyword}{mappings}users: [\n{known}\n]\n}}\n}}\n"


@contextmanager
def former_build() -> Iterator[None]:
    """Servers that are started meanwhile have the configuration of a former build."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (servers, embedded_cluster):
            patch.setattr(module, "configuration", former_configuration)
        yield


@dataclass
class Installation:
    """The folder of an installation, and its passwords."""

    folder: Path
    access: Credentials = field(default_factory=Credentials.generate)

    @contextmanager
    def server(self) -> Iterator[Server]:
        with restartable_nats_server(self.folder, access=self.access) as server:
            yield server

    @asynccontextmanager
    async def connected(self, address: str, user: str = ADMIN) -> AsyncIterator[Client]:
        client = await nats.connect(
            **connection(self.access.url(address, user)), name=user, inbox_prefix=inbox_of(user)
        )
        try:
            yield client
        finally:
            await client.close()


@dataclass(frozen=True)
class Stored:
    """What a move keeps of a message."""

    sequence: int
    subject: str
    data: bytes
    headers: tuple[tuple[str, str], ...]


def js_of(client: Client, stream: Stream, account: str | None = None) -> JetStreamContext:
    """Returns JetStream for a stream, with a time-out that a loaded cluster does not reach."""
    return jetstream_of(client, stream.name, 60, account=account)


async def contents(client: Client) -> dict[str, tuple[int, list[Stored]]]:
    """Returns the last sequence and the messages of each stream that has to be kept."""
    found = {}
    for stream in COPIED:
        end = await last_sequence(client, stream.name)
        async with aclosing(read(client, stream.name, end_sequence=end)) as messages:
            stored = [
                Stored(one.seq, one.subject, one.data, tuple(sorted(kept_headers(one).items())))
                async for one in messages
            ]
        found[stream.name] = (end, stored)
    return found


def number(index: int) -> str:
    """Returns a number of the fictional range, in one of two time zones."""
    return f"+1{'212' if index % 2 else '310'}5550{100 + index // 2}"


async def add_contacts(client: Client, *indexes: int) -> None:
    """Adds contacts in clear, with their groups."""
    log = EventLog(client, CONTACTS.name, source="test")
    for index in indexes:
        request = ContactRequested(campaign_id="spring", contact_id=f"c-{index}", phone_number=number(index))
        callee = callee_of(request.phone_number, request.time_zone)
        group = group_of(request.campaign_id, callee)
        if await log.last(group.subject) is None:
            await log.append(group)
        await log.append(waiting_contact(request, callee, DIGESTS, NOW))


async def join_queue(client: Client, call: Call) -> None:
    queue = EventLog(client, QUEUE.name, source="call-orchestrator")
    joined = QueueJoined(call_id=call.call_id, campaign_id="spring", attempt=1, due_at=NOW, due_sequence=1)
    await queue.append(joined)


async def counter(client: Client) -> NatsDialCounter:
    return NatsDialCounter(client, await js_of(client, DIALS.stream).key_value(DIALS.name))


async def fill(client: Client, replicas: int = 1) -> None:
    """Stores a few messages in each stream that has an owner, with gaps at each place."""
    await provision(client, replicas=replicas)
    await add_contacts(client, *range(5))
    for index in range(4):
        await join_queue(client, a_call(request_id=f"waits-{index}"))
    for stream, sequences in ((CONTACTS, (1, 4, 7)), (QUEUE, (2, 3))):
        for sequence in sequences:
            await delete_message(client, stream.name, sequence)
    for dials in (3, 4):
        assert await (await counter(client)).add("desk", TODAY, dials, 10, None)
    await js_of(client, CONTACTS).add_consumer(
        CONTACTS.name, ConsumerConfig(durable_name="spring-group", filter_subject="contact.added.spring.>")
    )
    clips = await js_of(client, CLIPS.stream).object_store(CLIPS.name)
    await clips.put("a" * 64, b"speech" * 50_000)
    call_clips = await js_of(client, CALL_CLIPS.stream).key_value(CALL_CLIPS.name)
    await call_clips.put("call.digest", b"speech")


@pytest.fixture
async def former(tmp_path: Path) -> Installation:
    """A stopped installation of a former build."""
    installation = Installation(tmp_path)
    with former_build(), installation.server() as server:
        async with installation.connected(server.url) as client:
            await fill(client)
    return installation


@pytest.fixture
async def before(former: Installation) -> dict[str, tuple[int, list[Stored]]]:
    """What its streams contain."""
    with former_build(), former.server() as server:
        async with former.connected(server.url) as client:
            found = await contents(client)
    assert all(messages for _, messages in found.values())
    return found


@pytest.fixture
def server(former: Installation, before: object) -> Iterator[Server]:
    """A server of this build on the folder."""
    with former.server() as server:
        yield server


@pytest.fixture
async def client(former: Installation, server: Server) -> AsyncIterator[Client]:
    async with former.connected(server.url) as client:
        yield client


async def in_central_account(client: Client, stream: Stream) -> bool:
    js = js_of(client, stream, CENTRAL)
    return await find_stream(js, stream.name) is not None


async def check_moved(client: Client, before: dict[str, tuple[int, list[Stored]]]) -> None:
    assert await contents(client) == before
    for stream in OWNED:
        assert not await in_central_account(client, stream)
        config = (await js_of(client, stream).stream_info(stream.name)).config
        assert config.subject_transform is None
        if stream in (CONTACTS, QUEUE):
            expected = stream_config(stream)
            for name in ("subjects", "retention", "max_bytes", "max_msgs_per_subject", "discard", "republish"):
                assert getattr(config, name) == getattr(expected, name), name
    assert await (await counter(client)).add("desk", TODAY, 3, 10, None)
    assert not await (await counter(client)).add("desk", TODAY, 1, 10, None), "7 of 10 dials were reserved before"


async def test_each_message_keeps_its_sequence_its_subject_its_headers_and_its_time(
    client: Client, before: dict[str, tuple[int, list[Stored]]]
) -> None:
    with pytest.raises(NotMigrated, match=r"CONTACTS is in the account CENTRALITA.*`python -m chassis\.migrate"):
        await provision(client)
    await migrate(client)
    await check_moved(client, before)
    await provision(client)
    steps: list[str] = []
    await migrate(client, report=steps.append)
    assert steps == [], "a second run changes nothing"


async def test_the_next_message_follows_the_last_sequence_and_a_contact_is_added_once(client: Client) -> None:
    await migrate(client)
    with pytest.raises(APIError, match="maximum messages per subject"):
        await add_contacts(client, 3)  # which waits
    await add_contacts(client, 1)  # which was deleted
    assert await last_sequence(client, CONTACTS.name) == 8


async def test_a_stream_that_is_full_is_moved_as_a_whole(tmp_path: Path) -> None:
    """Each message becomes longer, because its time is a header then."""
    installation, sizes = Installation(tmp_path), {CONTACTS.name: 100_000}
    with former_build(), installation.server() as server:
        async with installation.connected(server.url) as client:
            await provision(client, max_bytes=sizes)
            with pytest.raises(APIError, match="maximum bytes exceeded"):
                await fill_with_contacts(client)
            before = await contents(client)
    with installation.server() as server:
        async with installation.connected(server.url) as client:
            await migrate(client, max_bytes=sizes)
            assert await contents(client) == before
            config = (await js_of(client, CONTACTS).stream_info(CONTACTS.name)).config
            assert config.max_bytes == sizes[CONTACTS.name]
            with pytest.raises(APIError, match="maximum bytes exceeded"):
                await client.jetstream().publish("contact.added.spring.group.further", b"-" * 500)


async def fill_with_contacts(client: Client) -> None:
    """Raises APIError when the stream is full."""
    for index in range(1_000):
        await client.jetstream().publish(f"contact.added.spring.group.{index}", b"-" * 500)


async def test_caches_are_dropped(client: Client) -> None:
    await migrate(client)
    for bucket in (CLIPS, CALL_CLIPS):
        state = (await js_of(client, bucket.stream).stream_info(bucket.stream.name)).state
        assert (state.messages, state.last_seq) == (0, 0)


async def test_the_documented_commands_refuse_and_migrate(former: Installation, server: Server) -> None:
    environment = {**os.environ, "NATS_URL": former.access.url(server.url, ADMIN)}

    async def run(module: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"chassis.{module}"]
        return await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)

    refused = await run("provision")
    assert (refused.returncode, refused.stderr.count("python -m chassis.migrate")) == (1, 1)
    async with former.connected(server.url, Service.VOICE):
        alone = await run("migrate")
    message = "Nothing was changed: other clients are connected: voice. Stop all services first."
    assert (alone.returncode, alone.stderr.splitlines()[-1]) == (1, message)
    async with former.connected(server.url) as client:
        await until_alone(client)
    for module in ("migrate", "provision", "migrate"):
        assert (await run(module)).returncode == 0


@pytest.mark.parametrize("user", [user.name for user in users() if user.name != ADMIN])
async def test_a_client_of_any_account_prevents_the_migration(
    former: Installation, server: Server, client: Client, user: str
) -> None:
    async with former.connected(server.url, user):
        with pytest.raises(MigrationRefused, match=f"other clients are connected: {user}. Stop"):
            await migrate(client)
    assert all([await in_central_account(client, stream) for stream in OWNED])


async def until_alone(client: Client) -> None:
    """Returns when the servers know that the other clients have disconnected."""

    async def is_alone() -> bool:
        return await other_clients(client) == []

    await until(is_alone)


class Killed(Exception):
    """Stands for SIGKILL."""


async def test_a_migration_that_is_killed_after_any_message_is_continued(
    former: Installation,
    server: Server,
    before: dict[str, tuple[int, list[Stored]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each run is killed after one more message than the run before, and sometimes the server, too."""
    monkeypatch.setattr("chassis.stream_copy.MAX_IN_FLIGHT", 2)

    async def is_alone(_: Client) -> list[str]:
        return []

    monkeypatch.setattr("chassis.migrate.other_clients", is_alone)
    publish, runs, left = Client.publish, 0, 0

    async def publish_or_kill(self: Client, *arguments: Any, **options: Any) -> None:
        nonlocal left
        await publish(self, *arguments, **options)
        left -= 1
        if left < 0:
            raise Killed

    is_done = False
    while not is_done:
        async with former.connected(server.url) as client:
            with monkeypatch.context() as patch, suppress(Killed):
                left, runs = runs + 10, runs + 1
                patch.setattr(Client, "publish", publish_or_kill)
                await migrate(client)
                is_done = True
        if runs % 8 == 0:
            server.kill()
            await asyncio.to_thread(server.start)
    assert runs > 20
    async with former.connected(server.url) as client:
        await check_moved(client, before)


class Stop(Exception):
    """Ends a migration before a step."""


def stop_before(text: str) -> Callable[[str], None]:
    def report(step: str) -> None:
        if text in step:
            raise Stop

    return report


async def interrupt(client: Client, step: str) -> None:
    with pytest.raises(Stop):
        await migrate(client, report=stop_before(step))
    with pytest.raises(NotMigrated):
        await provision(client)


async def interrupt_copying(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops when the messages of CONTACTS are copied and their stream is not complete."""

    async def stop(*_: object) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("chassis.stream_copy.Writer.flush", stop)
        with pytest.raises(Stop):
            await migrate(client)
    with pytest.raises(NotMigrated):
        await provision(client)


async def test_a_service_that_starts_meanwhile_waits(
    former: Installation, server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await interrupt_copying(client, monkeypatch)
    assert await find_stream(js_of(client, CONTACTS), CONTACTS.name)
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        raise Stop

    async with former.connected(server.url, Service.ORCHESTRATOR) as service:
        with monkeypatch.context() as patch:
            patch.setattr("chassis.provisioned.asyncio.sleep", pause)
            with pytest.raises(Stop):
                await wait_until_provisioned(service, Service.ORCHESTRATOR)
    assert paused
    await until_alone(client)
    await migrate(client)
    async with former.connected(server.url, Service.ORCHESTRATOR) as service:
        await wait_until_provisioned(service, Service.ORCHESTRATOR)


@pytest.mark.parametrize("step", ["CONTACTS are copied", "CONTACTS of CENTRALITA is deleted", "QUEUE are copied"])
async def test_a_run_is_continued_at_each_step(
    client: Client, before: dict[str, tuple[int, list[Stored]]], step: str
) -> None:
    await interrupt(client, step)
    await migrate(client)
    await check_moved(client, before)


async def add_to_former(former: Installation) -> dict[str, tuple[int, list[Stored]]]:
    """The former build runs once more: its provisioning restores the subjects, and a contact is added."""
    with former_build(), former.server() as server:
        async with former.connected(server.url) as client:
            await provision(client)
            await add_contacts_of_winter(client)
            return await contents(client)


async def add_contacts_of_winter(client: Client) -> None:
    request = ContactRequested(campaign_id="winter", contact_id="w-1", phone_number=number(1))
    contact = waiting_contact(request, callee_of(request.phone_number, None), DIGESTS, NOW)
    await EventLog(client, CONTACTS.name, source="test").append(contact)


async def test_what_the_former_build_adds_after_an_interruption_is_copied(
    former: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with former.server() as server:
        async with former.connected(server.url) as client:
            await interrupt_copying(client, monkeypatch)
    before = await add_to_former(former)
    with former.server() as server:
        async with former.connected(server.url) as client:
            await migrate(client)
            await check_moved(client, before)


async def test_nothing_is_deleted_if_both_streams_were_in_use(former: Installation) -> None:
    refusal = "CONTACTS is in the account CENTRALITA and in CALL_ORCHESTRATOR"
    with former.server() as server:
        async with former.connected(server.url) as client:
            await interrupt(client, "CONTACTS of CENTRALITA is deleted")
    await add_to_former(former)
    with former.server() as server:
        async with former.connected(server.url) as client:
            with pytest.raises(MigrationRefused, match=refusal):
                await migrate(client)
            assert await in_central_account(client, CONTACTS)
            assert await find_stream(js_of(client, CONTACTS), CONTACTS.name)


async def test_an_empty_stream_of_the_owner_is_replaced(
    client: Client, before: dict[str, tuple[int, list[Stored]]]
) -> None:
    await js_of(client, QUEUE).add_stream(stream_config(QUEUE))
    await migrate(client)
    await check_moved(client, before)


async def test_a_stream_that_a_former_seal_has_not_finished_is_not_touched(client: Client) -> None:
    copy = stream_config(replace(CONTACTS, name=sealed_copy(CONTACTS.name), subjects=("former.seal",)))
    await js_of(client, CALLS).add_stream(copy)
    for command in (provision, migrate):
        with pytest.raises(NotSealedByFormerBuild, match="`centralita seal` of the former build was interrupted"):
            await command(client)
    assert all([await in_central_account(client, stream) for stream in OWNED])


async def test_an_embedded_run_moves_its_folder_by_itself_or_names_what_is_wrong(
    former: Installation, server: Server, before: dict[str, tuple[int, list[Stored]]]
) -> None:
    url = former.access.url(server.url, ADMIN)
    async with former.connected(server.url, Service.EDGE):
        with pytest.raises(CannotStart, match="other clients are connected: edge"):
            await provision_bus(url, None)
    async with former.connected(server.url) as client:
        await until_alone(client)
    await provision_bus(url, None)
    async with former.connected(server.url) as client:
        await check_moved(client, before)


async def created_calls(client: Client) -> list[Call]:
    events = await EventLog(client, CALLS.name, source="test").read([CallCreated.subjects()])
    return [stored.event.call for stored in events if isinstance(stored.event, CallCreated)]


async def granted_calls(client: Client) -> set[UUID]:
    """Returns the calls that have left the queue, because they are dialled."""
    events = await EventLog(client, CALLS.name, source="test").read(["call.status_changed.*.dialing"])
    return {stored.event.call.call_id for stored in events}  # type: ignore[attr-defined]


async def test_the_new_build_takes_the_waiting_contacts_and_grants_the_queued_calls(tmp_path: Path) -> None:
    """The former build is stopped with one call that is dialled, some in the queue, and contacts that wait."""
    installation, count = Installation(tmp_path), 40
    commands = (
        CampaignCreateRequested(campaign_id="spring", terms=TERMS),
        CampaignStartRequested(campaign_id="spring"),
    )
    with former_build(), installation.server() as server:
        url = installation.access.url(server.url, Service.ORCHESTRATOR)
        async with installation.connected(server.url) as client:
            await provision(client)
            async with running(url, 1, **LIMITS):
                for command in commands:
                    assert (await outcome_of(client, command)).accepted
                await add_contacts(client, *range(count))

                async def some_wait() -> bool:
                    return len(await granted_calls(client)) == 1 and len(await created_calls(client)) > 5

                await until(some_wait)
            former_calls = {call.call_id for call in await created_calls(client)}
            assert len(former_calls) < count
    with installation.server() as server:
        url = installation.access.url(server.url, Service.ORCHESTRATOR)
        async with installation.connected(server.url) as client:
            await migrate(client)
            async with running(url, 1, **{**LIMITS, "max_concurrent_calls": 0}):

                async def all_are_dialled() -> bool:
                    return len(await granted_calls(client)) == count

                await until(all_are_dialled)
            calls = await created_calls(client)
            assert sorted(call.contact_id for call in calls) == sorted(f"c-{index}" for index in range(count))
            assert await granted_calls(client) == {call.call_id for call in calls} >= former_calls


async def test_a_cluster_is_moved_and_keeps_its_replicas(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    with former_build(), nats_cluster(tmp_path, access=installation.access) as cluster:
        async with installation.connected(cluster.url) as client:
            await fill(client, replicas=NODES)
            before = await contents(client)
    with nats_cluster(tmp_path, access=installation.access) as cluster:
        async with installation.connected(cluster.nodes["n1"].url) as client:
            async with installation.connected(cluster.nodes["n3"].url, Service.EDGE):
                with pytest.raises(MigrationRefused, match="other clients are connected: edge"):
                    await migrate(client, replicas=NODES)
            await until_alone(client)
            await migrate(client, replicas=NODES)
            await wait_until_recovered(cluster, client)
            await check_moved(client, before)
            for stream in OWNED:
                info = await js_of(client, stream).stream_info(stream.name)
                assert info.config.num_replicas == NODES
