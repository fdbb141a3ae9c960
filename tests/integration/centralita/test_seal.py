"""The log of an older build has personal data in clear. It is sealed on a real server, and the rest stays equal."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from pydantic import SecretStr
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.sealed_messages import opened
from tests.builders.secret_keys import TEST_KEYS

from centralita.embedded.cluster import NODES, nats_cluster
from centralita.embedded.credentials import Credentials
from centralita.embedded.provisioning import provision_bus
from centralita.embedded.servers import nats_server
from centralita.replay.importing import ImportRefused, import_file
from centralita.replay.record import export, fold, from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import Verification, verify
from centralita.rewriting import stream_rewriting
from centralita.rewriting.persons import WrongDigestKey
from centralita.rewriting.sealing_run import Sealed, SealRefused, seal_streams
from centralita.rewriting.stream_rewriting import Rewriting
from chassis.addresses import connection
from chassis.deletion import delete_message
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.leader_get import get_of_leader
from chassis.migration_checks import NotSealed
from chassis.provision import consumer_config, provision
from chassis.settings import key_bytes
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from contracts import (
    AudioReady,
    CallChanged,
    CallChangeRequested,
    CallRequested,
    ContactAdded,
    NumberChanged,
    PersonErased,
    SpeechHeard,
    VoicemailPolicy,
)
from contracts.accounts import ADMIN
from contracts.call import Call
from contracts.consumers import CONSUMERS
from contracts.examples import EXAMPLES
from contracts.number_digests import NumberDigests
from contracts.number_state import NumberState
from contracts.personal import ERASED, PERSON_HEADER
from contracts.streams import ARCHIVE_ID, CALLS, CONTACTS, NUMBERS, REQUESTS, SEALED_STREAMS, sealed_copy
from records.messages import Message
from sealing import MasterKey

LOG = Path(__file__).parents[2] / "data" / "log-a45b024.jsonl.gz"
DIGESTS = NumberDigests(key_bytes(SecretStr(TEST_KEYS["NUMBER_DIGEST_KEY"])))
MASTER_KEY = MasterKey(key_bytes(SecretStr(TEST_KEYS["MASTER_KEY"])))
FIRST, SECOND = "+12125550123", "+12125550145"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with nats_server(tmp_path) as url:
        yield url


@pytest.fixture
async def client(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A connection to an empty server of its own, whose files are in `tmp_path`."""
    monkeypatch.setattr("chassis.stream_replacement._ANSWERS_SECONDS", 0.1)
    client = await nats.connect(url, name="admin")
    await provision(client)
    yield client
    await client.close()


async def seal(client: Client, *, dry_run: bool = False, digests: NumberDigests = DIGESTS) -> Sealed:
    keyring = Keyring(client, MASTER_KEY)
    return await seal_streams(client, keyring, digests, progress=lambda *_: None, dry_run=dry_run)


def contents(messages: list[Message]) -> list[tuple[Any, ...]]:
    """What sealing keeps of messages: all but their bodies, and headers of the server."""
    return [(one.stream, one.sequence, one.time, one.subject, one.identity) for one in messages]


async def opened_calls(client: Client, messages: list[Message]) -> dict[UUID, Call]:
    """Returns the calls as services with the keys fold them, without what sealing adds."""
    keyring = Keyring(client, MASTER_KEY)
    with_keys = []
    for message in messages:
        person = message.headers.get(PERSON_HEADER)
        await keyring.load([person])
        name = ".".join(message.subject.split(".")[:2])
        with_keys.append(replace(message, opener=keyring.opener(person, name) if person else None))
    calls = fold(with_keys)
    return {call_id: call.model_copy(update={"callee": None, "number_digest": None}) for call_id, call in calls.items()}


def personal_texts(messages: list[Message]) -> set[str]:
    """Returns the numbers, and what was said, in the bodies of a log in clear."""
    texts: set[str] = set()
    for message in messages:
        body = json.loads(message.body)
        fields = body.get("call", body)
        texts |= {fields.get(name) for name in ("phone_number", "text", "summary", "script_template")} - {None, ""}
        texts |= set((fields.get("variables") or {}).values())
    return {text for text in texts if len(text) > 10}  # shorter ones may be in sealed bytes by chance


def raw_files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


async def import_old_log(client: Client) -> list[Message]:
    """Imports the log of commit a45b024, all of which its services have acknowledged."""
    await import_file(client, LOG, speed=None)
    js = client.jetstream()
    for consumer in CONSUMERS:
        if consumer.stream in (CALLS, REQUESTS):
            await js.delete_consumer(consumer.stream.name, consumer.name)
            end = await last_sequence(client, consumer.stream.name)
            await js.add_consumer(consumer.stream.name, config=consumer_config(consumer, start_sequence=end + 1))
    return (await from_streams(client, Scope())).messages


def counts(result: Verification) -> tuple[int, ...]:
    return result.calls, result.decisions, result.without_effect, result.unjudged


async def test_an_old_log_is_equal_after_it_is_sealed_and_no_file_has_its_personal_data(
    client: Client, tmp_path: Path
) -> None:
    before = await import_old_log(client)
    secrets = personal_texts(before)
    assert len(secrets) > 40
    calls_before = await opened_calls(client, before)
    verified = await verify(await from_streams(client, Scope()))
    assert (verified.drifts, verified.doubts) == ((), ())
    planned = await seal(client, dry_run=True)
    assert contents((await from_streams(client, Scope())).messages) == contents(before)
    sealed = await seal(client)
    assert planned == sealed
    assert {name: (one.messages, one.in_clear) for name, one in sealed.streams.items()} == {
        "CALLS": (975, 617),
        "REQUESTS": (40, 31),
        "CONTACTS": (0, 0),
        "NUMBERS": (0, 0),
    }
    assert sealed.left == 0
    after = await from_streams(client, Scope())
    assert contents(after.messages) == contents(before)
    result = await verify(after)
    assert (counts(result), result.drifts, result.doubts) == (counts(verified), (), ())
    assert await opened_calls(client, after.messages) == calls_before
    assert all(info.num_pending == 0 for info in await client.jetstream().consumers_info(CALLS.name))
    found = [(name, text) for name, data in raw_files(tmp_path).items() for text in secrets if text.encode() in data]
    assert found == []
    assert (await seal(client)).in_clear == 0


class OldInstallation:
    """Streams of a build that sealed nothing, with gaps, a change of a number, a contact, and an entry of a list."""

    def __init__(self, client: Client) -> None:
        self.client, self.js = client, client.jetstream()
        self.first = a_call(
            request_id="first", phone_number=FIRST, voicemail=VoicemailPolicy(message="Hello {{name}}, call us.")
        )
        self.second = self.first.model_copy(update={"phone_number": SECOND, "command_sequence": 3})
        self.log = EventLog(client, CALLS.name, source="call-orchestrator")

    async def build(self) -> None:
        requests = EventLog(self.client, REQUESTS.name, source="upstream")
        fields = {"campaign_id": "spring", "script_template": "Hello {{name}}.", "variables": {"name": "Ada Lovelace"}}
        await requests.append(
            CallRequested(request_id="first", contact_id="c-1", phone_number=FIRST, **fields), event_id="first"
        )
        metadata = CallChangeRequested(call_id=self.first.call_id, metadata={"note": "of the first person"})
        await requests.append(metadata)
        await requests.append(CallChangeRequested(call_id=self.first.call_id, phone_number=SECOND))
        await requests.append(metadata)
        await self.js.publish("call.requested", b'{"phone_number": "+12125550199"}')
        await self.log.append(self._speech(0, "said in an unknown call", call_id=uuid4()))
        await self.log.append(call_created(self.first))
        await self.log.append(self._speech(1, "said by the first person"))
        changed = CallChanged(call=self.second, occurred_at=self.second.created_at, changed=("phone_number",))
        await self.log.append(changed)
        await self.log.append(self._speech(2, "said by the second person"))
        await self.log.append(_example(AudioReady).model_copy(update={"digest": "0a" * 32}))
        for turn in (3, 4, 5):
            await self.log.append(self._speech(turn, "said by the second person"))
        contact = _example(ContactAdded)
        digest = DIGESTS.of(FIRST)
        contacts = EventLog(self.client, CONTACTS.name, source="edge")
        await contacts.append(contact.model_copy(update={"phone_number": FIRST, "number_digest": digest}))
        state = NumberState(number_digest=digest, phone_number=FIRST)
        number = NumberChanged(number=state, occurred_at=datetime.now(UTC))
        numbers = EventLog(self.client, NUMBERS.name, source="call-orchestrator")
        await numbers.append(number)
        await numbers.append(number, ttl_seconds=3600)
        for sequence in (1, 7, 9):  # the first message, one in between, and the last
            await delete_message(self.client, CALLS.name, sequence)
        await self.log.append(_example(PersonErased).model_copy(update={"number_digest": DIGESTS.of("+12125550177")}))
        await delete_message(self.client, CALLS.name, 10)

    def _speech(self, turn: int, text: str, **changes: Any) -> SpeechHeard:
        speech = SpeechHeard(call_id=self.first.call_id, attempt=1, turn=1, text=text, language="en")
        return speech.model_copy(update={"turn": turn, **changes})

    async def messages(self) -> list[tuple[Any, ...]]:
        """Returns what sealing keeps of the messages of all streams, and their last sequences."""
        found: list[Message] = []
        ends: list[tuple[Any, ...]] = []
        for stream in SEALED_STREAMS:
            end = await last_sequence(self.client, stream.name)
            ends.append((stream.name, end))
            found += [Message.of(one) async for one in read(self.client, stream.name, end_sequence=end)]
        return [*contents(found), *ends]


def _example(kind: Any) -> Any:
    return EXAMPLES[kind.event_name]


@pytest.fixture
async def old(client: Client) -> OldInstallation:
    installation = OldInstallation(client)
    await installation.build()
    return installation


async def test_a_header_of_a_request_in_clear_does_not_keep_it_from_being_sealed(client: Client) -> None:
    request = CallRequested(campaign_id="spring", contact_id="c-1", phone_number=FIRST, script_template="Hello.")
    for body in (request.body(), request.body() + b"\0not sealed"):
        await client.jetstream().publish(request.subject, body, headers={PERSON_HEADER: "ab" * 16})
    found = (await seal(client)).streams["REQUESTS"]
    assert (found.messages, found.in_clear, found.unreadable) == (2, 1, 1)
    first, _ = (await from_streams(client, Scope())).messages
    assert FIRST.encode() not in first.body
    assert first.headers[PERSON_HEADER] == DIGESTS.of(FIRST)


async def test_calls_in_clear_are_not_imported_after_a_sealed_call(client: Client, tmp_path: Path) -> None:
    js, file = client.jetstream(), tmp_path / "log.jsonl.gz"
    former = call_created(a_call(phone_number=FIRST, number_digest=None))
    async with Keyring(client, MASTER_KEY).is_current() as keyring:
        sealed = a_call(call_id=UUID(int=1), phone_number=SECOND, number_digest=DIGESTS.of(SECOND))
        await EventLog(client, CALLS.name, source="test", keyring=keyring).append(call_created(sealed))
    with pytest.raises(ImportRefused, match="`centralita seal`"):
        await import_file(client, LOG, speed=None, into_existing=True)
    assert (await js.stream_info(CALLS.name)).state.messages == 1
    await EventLog(client, CALLS.name, source="test").append(former)
    await export(client, file)
    await js.purge_stream(CALLS.name)
    with pytest.raises(ImportRefused, match="`centralita seal`"):
        await import_file(client, file, speed=None)
    await EventLog(client, CALLS.name, source="test").append(former)
    await import_file(client, file, speed=None, into_existing=True)
    assert (await js.stream_info(CALLS.name)).state.messages == 3, "the first call is in clear, so all are looked at"


async def check_sealed(old: OldInstallation, before: list[tuple[Any, ...]], folder: Path) -> None:
    assert await old.messages() == before
    for stream in SEALED_STREAMS:
        with pytest.raises(NotFoundError):
            await jetstream_of(old.client, stream.name).stream_info(sealed_copy(stream.name))
    await provision(old.client)
    consumers = {info.name for stream in (CALLS, REQUESTS) for info in await old.js.consumers_info(stream.name)}
    assert consumers == {consumer.name for consumer in CONSUMERS if consumer.stream in (CALLS, REQUESTS)}
    files = raw_files(folder)
    for secret in (FIRST, SECOND, "Ada Lovelace", "said by the", "of the first person", "call us", "0a" * 32):
        assert [name for name, data in files.items() if secret.encode() in data] == []


async def persons(old: OldInstallation, stream: str) -> dict[int, str | None]:
    """Returns the person of each message of a stream, as its header says."""
    end = await last_sequence(old.client, stream)
    return {one.seq: one.headers.get(PERSON_HEADER) async for one in read(old.client, stream, end_sequence=end)}


async def test_each_message_is_sealed_under_the_key_of_its_person(old: OldInstallation, tmp_path: Path) -> None:
    before = await old.messages()
    sealed = await seal(old.client)
    assert {name: (one.in_clear, one.unreadable, one.unknown) for name, one in sealed.streams.items()} == {
        "CALLS": (6, 0, 0),
        "REQUESTS": (4, 1, 0),
        "CONTACTS": (1, 0, 0),
        "NUMBERS": (1, 0, 0),
    }
    await check_sealed(old, before, tmp_path)
    first, second = DIGESTS.of(FIRST), DIGESTS.of(SECOND)
    assert await persons(old, CALLS.name) == {2: first, 3: first, 4: second, 5: second, 6: None, 8: second}
    assert await persons(old, REQUESTS.name) == {1: first, 2: first, 3: second, 4: second, 5: None}
    assert await persons(old, CONTACTS.name) == {1: first}
    assert await persons(old, NUMBERS.name) == {2: first}


async def test_a_sealed_call_has_what_follows_from_its_sealed_fields(old: OldInstallation) -> None:
    await seal(old.client)
    message = await get_of_leader(old.client, CALLS.name, 2)
    created = await opened(message.subject, message.data, message.headers, Keyring(old.client, MASTER_KEY))
    call = created.call  # type: ignore[attr-defined]
    assert (call.callee.country, call.callee.regions) == ("US", ("NY",))
    assert call.message_characters == len("Hello Ana, call us.")
    assert call.number_digest == DIGESTS.of(FIRST)
    assert call.phone_number == FIRST


async def test_the_end_of_a_message_stays_and_a_waiting_contact_can_be_taken(old: OldInstallation) -> None:
    await seal(old.client)
    state = await get_of_leader(old.client, NUMBERS.name, 2)
    assert 3000 < int(state.headers["Nats-TTL"].removesuffix("s")) <= 3600
    consumer = await old.js.pull_subscribe("contact.added.>", "taking", stream=CONTACTS.name)
    [taken] = await consumer.fetch(1, timeout=60)
    await taken.ack_sync()
    assert (await old.js.stream_info(CONTACTS.name)).state.messages == 0


async def test_the_next_event_follows_the_last_sequence(old: OldInstallation) -> None:
    await seal(old.client)
    assert (await old.log.append(_example(AudioReady))).sequence == 11


class Killed(Exception):
    """Stands for SIGKILL."""


async def test_a_run_that_is_killed_after_any_request_is_finished_by_the_next(
    old: OldInstallation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each run is killed after one more request than the run before, once it has begun to rewrite."""
    before, publish, rewrite, runs = await old.messages(), Client.publish, Rewriting.run, 0
    monkeypatch.setattr("chassis.stream_copy.MAX_IN_FLIGHT", 2)
    left: float = 0

    async def publish_or_kill(self: Client, *arguments: Any, **options: Any) -> None:
        nonlocal left
        await publish(self, *arguments, **options)
        left -= 1
        if left < 0:
            raise Killed

    async def run(self: Rewriting) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Client, "publish", publish_or_kill)
            await rewrite(self)

    monkeypatch.setattr(Rewriting, "run", run)
    while True:
        left, runs = runs, runs + 1
        with suppress(Killed):
            await seal(old.client)
            break
    assert runs > 15
    await check_sealed(old, before, tmp_path)


async def test_services_cannot_be_provisioned_before_an_interrupted_run_is_finished(
    old: OldInstallation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = await old.messages()

    async def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stream_rewriting, "create_stream", killed)
        with pytest.raises(Killed):
            await seal(old.client)
    await provision(old.client)  # nothing was copied
    with monkeypatch.context() as patch:
        patch.setattr(stream_rewriting, "as_mirror", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            await seal(old.client)
    with pytest.raises(NotSealed, match="centralita seal"):
        await provision(old.client)
    assert (await seal(old.client, dry_run=True)).streams["CALLS"].in_clear == 0
    await seal(old.client)
    await check_sealed(old, before, tmp_path)


async def test_a_stream_that_has_changed_since_the_interruption_is_copied_again(
    old: OldInstallation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Rewriting, "_fill", killed)
        with pytest.raises(Killed):
            await seal(old.client)
    await delete_message(old.client, CALLS.name, 5)
    before = await old.messages()
    await seal(old.client)
    await check_sealed(old, before, tmp_path)


async def test_nothing_changes_while_a_service_is_connected_or_with_another_digest_key(
    old: OldInstallation, url: str
) -> None:
    before = [(await old.js.stream_info(stream.name)).config for stream in SEALED_STREAMS]
    service = await nats.connect(url, name="voice")
    with pytest.raises(SealRefused, match="other clients are connected: voice"):
        await seal(old.client)
    await service.close()
    with pytest.raises(WrongDigestKey):
        await seal(old.client, digests=NumberDigests(b"another key of 32 bytes.........."))
    assert [(await old.js.stream_info(stream.name)).config for stream in SEALED_STREAMS] == before


async def test_what_was_stored_before_the_erasure_of_its_person_gets_no_key(old: OldInstallation) -> None:
    erased = PersonErased(
        number_digest=DIGESTS.of(SECOND),
        requested_at=datetime.now(UTC) + timedelta(seconds=1),
        erased_at=datetime.now(UTC),
        had_key=False,
    )
    await old.log.append(erased)
    await seal(old.client)
    keyring = Keyring(old.client, MASTER_KEY)
    message = await get_of_leader(old.client, CALLS.name, 5)
    speech = await opened(message.subject, message.data, message.headers, keyring)
    assert isinstance(speech, SpeechHeard)
    assert speech.text == ERASED
    with pytest.raises(NotFoundError):
        await old.js.get_last_msg("KEYS", f"key.{DIGESTS.of(SECOND)}")


async def test_the_metadata_of_a_stream_stay(old: OldInstallation) -> None:
    """They name the archive of the log, and the requests from which on the log shows what became of each."""
    config = (await old.js.stream_info(CALLS.name)).config
    await old.js.update_stream(replace(config, metadata={ARCHIVE_ID: "an-archive"}))
    await seal(old.client)
    metadata = (await old.js.stream_info(CALLS.name)).config.metadata or {}
    own = {name: value for name, value in metadata.items() if not name.startswith("_nats")}
    assert own == {ARCHIVE_ID: "an-archive", "centralita-sealed": "1"}


async def test_the_streams_of_a_cluster_are_sealed_on_each_node(tmp_path: Path) -> None:
    access = Credentials.generate()
    with nats_cluster(tmp_path, access=access) as cluster:
        url = access.url(cluster.url, ADMIN)
        await provision_bus(url, cluster)
        client = await nats.connect(**connection(url), name="admin")
        old = OldInstallation(client)
        await old.build()
        before = await old.messages()
        await seal_streams(client, Keyring(client, MASTER_KEY), DIGESTS, progress=lambda *_: None, replicas=NODES)
        assert await old.messages() == before
        for stream in SEALED_STREAMS:
            info = await jetstream_of(client, stream.name, 60).stream_info(stream.name)
            assert info.config.num_replicas == NODES
        await client.close()
    files = raw_files(tmp_path)
    assert [
        name for name, data in files.items() for secret in (SECOND, "Ada Lovelace") if secret.encode() in data
    ] == []
