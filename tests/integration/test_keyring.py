"""Sealed events on a real server: what is stored, who can read it, and what remains once a key is destroyed."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from tests.builders.calls import NOW, a_call
from tests.builders.events import call_created, status_changed

from centralita.embedded.servers import nats_server
from chassis.direct_get import StoredMessage, get_newest
from chassis.event_log import EventLog, StoredEvent, UnreadableEvent
from chassis.keyring import Keyring
from chassis.provision import provision
from contracts import (
    CallChangeRequested,
    CallDecision,
    CallRequested,
    CallStatus,
    ConversationEnded,
    Disposition,
    Envelope,
    Event,
    NumberChanged,
    NumberState,
    ReplyGenerated,
    SpeechHeard,
    ToolCall,
    decode,
)
from contracts.filters import call_facts_filter, call_state_filter
from contracts.personal import ERASED, HIDDEN, clear_and_personal, json_and_sealed, with_sealed
from contracts.streams import CALLS, KEYS, NUMBERS, REQUESTS
from sealing import MasterKey, WrongMasterKey

MASTER_KEY, PERSON, OTHER_PERSON = bytes(range(32)), "ab" * 16, "cd" * 16
NUMBER, WORDS = "+12125550123", "My doctor is called Ferrán"
CALL = a_call(phone_number=NUMBER, number_digest=PERSON, variables={"name": "Ana Belén"}, metadata={"crm": "A-77"})
SECRETS = (NUMBER, WORDS, "Ferr", "Ana", "A-77", "Confirma")


@asynccontextmanager
async def keyring_of(client: Client, master_key: bytes = MASTER_KEY) -> AsyncIterator[Keyring]:
    keyring = Keyring(client, MasterKey(master_key))
    async with keyring.is_current():
        yield keyring


@pytest.fixture
async def keyring(bus_client: Client) -> AsyncIterator[Keyring]:
    async with keyring_of(bus_client) as keyring:
        yield keyring


@pytest.fixture
def log(bus_client: Client, keyring: Keyring) -> EventLog:
    return EventLog(bus_client, CALLS.name, source="test", keyring=keyring)


@pytest.fixture
def log_without_keys(bus_client: Client) -> EventLog:
    return EventLog(bus_client, CALLS.name, source="test")


def heard(text: str = WORDS) -> SpeechHeard:
    return SpeechHeard(call_id=CALL.call_id, attempt=1, turn=1, text=text, language="es")


def sealed_forms(sealed: bytes) -> tuple[bytes, bytes]:
    """Returns the body of an utterance with these sealed bytes, as older builds stored it and as it is stored now."""
    clear = clear_and_personal(heard().body(), SpeechHeard, PERSON)[0]
    return clear[:-1] + b',"sealed":"' + b64encode(sealed) + b'"}', with_sealed(clear, sealed)


async def stored_bytes(client: Client, stream: str) -> bytes:
    js = client.jetstream()
    last_sequence = (await js.stream_info(stream)).state.last_seq
    messages = []
    for sequence in range(1, last_sequence + 1):
        with suppress(NotFoundError):
            messages.append(await js.get_msg(stream, sequence))
    return b"\n".join((message.data or b"") + str(message.headers).encode() for message in messages)


async def last_of(log: EventLog) -> StoredEvent:
    last = await log.last(call_facts_filter(CALL.call_id))
    assert last
    return last


async def call_of(log: EventLog) -> Any:
    last = await log.last(call_state_filter(CALL.call_id))
    assert last
    assert isinstance(last.event, CallDecision)
    return last.event.call


async def test_no_personal_data_of_an_event_is_readable_in_the_stream(log: EventLog, bus_client: Client) -> None:
    created = await log.append(call_created(CALL))
    events: list[Event] = [
        heard(),
        ReplyGenerated(
            call_id=CALL.call_id,
            attempt=1,
            turn=1,
            text=f"Confirma. {WORDS}",
            sentences=2,
            last_sentence=WORDS,
            model="m",
            latency_seconds=1,
            tool_calls=(ToolCall(name="note", arguments={"doctor": "Ferrán"}),),
        ),
        ConversationEnded(
            call_id=CALL.call_id,
            attempt=1,
            turn=1,
            disposition=Disposition.CONFIRMED,
            summary=WORDS,
            fields={"doctor": "Ferrán"},
        ),
    ]
    for event in events:
        await log.append(event, cause=created.envelope)

    stored = await stored_bytes(bus_client, CALLS.name)
    assert [secret for secret in SECRETS if secret.encode() in stored] == []
    assert b"Ferr" not in stored.replace(b"\\u00e1", b"")
    assert (await log.read([call_state_filter(CALL.call_id)]))[0].event == created.event
    assert [one.event for one in await log.read([call_facts_filter(CALL.call_id)])] == events
    assert (await last_of(log)).envelope.person == PERSON


async def test_a_reader_without_keys_sees_which_fields_were_given(log: EventLog, log_without_keys: EventLog) -> None:
    cause = (await log.append(call_created(CALL))).envelope
    reply = ReplyGenerated(
        call_id=CALL.call_id, attempt=1, turn=1, text=WORDS, sentences=1, model="m", latency_seconds=1
    )
    await log.append(reply, cause=cause)
    hidden = (await last_of(log_without_keys)).event
    assert hidden == reply.model_copy(update={"text": HIDDEN})
    await log.append(reply.model_copy(update={"last_sentence": WORDS}), cause=cause)
    hidden = (await last_of(log_without_keys)).event
    assert hidden == reply.model_copy(update={"text": HIDDEN, "last_sentence": HIDDEN})
    call = await call_of(log_without_keys)
    hidden_fields = {"phone_number": HIDDEN, "script_template": HIDDEN, "variables": {}, "metadata": {}}
    assert call == CALL.model_copy(update=hidden_fields)


async def test_a_call_that_was_read_without_keys_cannot_be_appended(log: EventLog, log_without_keys: EventLog) -> None:
    await log.append(call_created(CALL))
    with pytest.raises(ValueError, match="without the key"):
        await log.append(call_created(await call_of(log_without_keys)))


async def test_a_process_without_keys_does_not_store_personal_data(log_without_keys: EventLog) -> None:
    with pytest.raises(RuntimeError, match="has no keys"):
        await log_without_keys.append(call_created(CALL))


async def test_processes_that_make_a_key_at_once_use_the_same(bus_client: Client, nats_url: str) -> None:
    clients = [await nats.connect(nats_url) for _ in range(4)]
    try:
        async with asyncio.timeout(60), keyring_of(bus_client) as reader:
            logs = []
            for client in clients:
                keyring = Keyring(client, MasterKey(MASTER_KEY))  # it follows no changes
                logs.append(EventLog(client, CALLS.name, source="test", keyring=keyring))
            await asyncio.gather(*(log.append(call_created(CALL)) for log in logs))
            log = EventLog(bus_client, CALLS.name, source="test", keyring=reader)
            events = await log.read([call_state_filter(CALL.call_id)])
            assert [one.event for one in events] == 4 * [call_created(CALL)]
    finally:
        for client in clients:
            await client.close()
    assert (await bus_client.jetstream().stream_info(KEYS.name)).state.messages == 2  # the person's and the checked one


async def test_keys_that_processes_make_together_are_the_same_for_both(bus_client: Client) -> None:
    persons = [f"{number:032x}" for number in range(300)]
    async with keyring_of(bus_client) as keyring, keyring_of(bus_client) as other:
        await keyring.prepare(persons[:2])
        await keyring.destroy(persons[0])
        await asyncio.gather(keyring.prepare(persons), other.prepare(persons[::-1]))
        assert (await bus_client.jetstream().stream_info(KEYS.name)).state.messages == len(persons) + 1
        for person in persons:
            event = call_created(CALL.model_copy(update={"number_digest": person}))
            for maker, reader in ((keyring, other), (other, keyring)):
                body = await maker.seal(event, person)
                assert decode(event.subject, body, reader.opener(person, event.event_name)) == event


async def test_the_keys_of_a_batch_stay_while_the_others_of_it_are_read(
    keyring: Keyring, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    persons = [f"{number:032x}" for number in range(6)]
    event = heard()
    await keyring.prepare(persons)
    bodies = {person: await keyring.seal(event, person) for person in persons}
    monkeypatch.setattr("chassis.keyring.MAX_KEYS", 4)
    async with keyring_of(bus_client) as reader:
        await reader.load(persons[:3])
        await reader.load([*persons[:2], *persons[4:]])  # it drops the key that was used longest ago, and not the first
        requests: list[str] = []

        async def note(message: Msg) -> None:
            requests.append(message.subject)

        await bus_client.subscribe(f"$JS.API.DIRECT.GET.{KEYS.name}", cb=note)
        for person in (*persons[:2], *persons[4:]):
            assert decode(event.subject, bodies[person], reader.opener(person, event.event_name)) == event
            await reader.seal(event, person)
        await bus_client.flush()
        assert requests == []


async def test_a_known_key_that_is_dropped_while_the_others_of_its_batch_are_read_is_read_again(
    keyring: Keyring, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, persons = heard(), [PERSON, OTHER_PERSON]
    await keyring.prepare(persons)
    bodies = {person: await keyring.seal(event, person) for person in persons}
    monkeypatch.setattr("chassis.keyring.MAX_KEYS", 4)

    async def receives_others(*given: Any) -> StoredMessage | None:
        monkeypatch.setattr("chassis.keyring.get_newest", get_newest)
        await keyring.prepare([f"{number:032x}" for number in range(5)])
        await bus_client.flush()
        while PERSON in reader._known:
            await asyncio.sleep(0)
        return await get_newest(*given)

    async with keyring_of(bus_client) as reader:
        await reader.load([PERSON])
        monkeypatch.setattr("chassis.keyring.get_newest", receives_others)
        await reader.load(persons)
        for person in persons:
            assert decode(event.subject, bodies[person], reader.opener(person, event.event_name)) == event


async def test_a_key_that_is_too_old_stays_while_it_is_read_again(
    keyring: Keyring, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    created, persons = call_created(CALL), [f"{number:032x}" for number in range(3)]
    body = await keyring.seal(created, PERSON)
    await keyring.prepare(persons[:1])

    async def receives_others(*given: Any) -> StoredMessage | None:
        monkeypatch.undo()
        monkeypatch.setattr("chassis.keyring.MAX_KEYS", 3)
        found = await get_newest(*given)
        await keyring.prepare(persons[1:])
        await bus_client.flush()
        for _ in range(10):  # the reader handles the new keys, which the server has sent
            await asyncio.sleep(0)
        return found

    async with keyring_of(bus_client) as reader:
        await reader.load([PERSON, persons[0]])
        monkeypatch.setattr("chassis.keyring.MAX_AGE_SECONDS", 0.0)
        monkeypatch.setattr("chassis.keyring.get_newest", receives_others)
        await reader.load([PERSON])
        assert decode(created.subject, body, reader.opener(PERSON, created.event_name)) == created


async def test_keys_that_are_known_are_not_read_again_to_prepare_them(keyring: Keyring, bus_client: Client) -> None:
    await keyring.prepare([PERSON, OTHER_PERSON])
    requests: list[str] = []

    async def note(message: Msg) -> None:
        requests.append(message.subject)

    for subject in (f"$JS.API.DIRECT.GET.{KEYS.name}", f"$JS.API.STREAM.MSG.GET.{KEYS.name}", *KEYS.subjects):
        await bus_client.subscribe(subject, cb=note)
    await keyring.prepare([PERSON, OTHER_PERSON])
    await bus_client.flush()
    assert requests == []


async def test_a_second_append_about_a_person_reads_no_key(log: EventLog, bus_client: Client) -> None:
    created = await log.append(call_created(CALL))
    requests: list[str] = []

    async def note(message: Msg) -> None:
        requests.append(message.subject)

    for subject in (f"$JS.API.DIRECT.GET.{KEYS.name}", f"$JS.API.STREAM.MSG.GET.{KEYS.name}", *KEYS.subjects):
        await bus_client.subscribe(subject, cb=note)
    await log.append(heard(), cause=created.envelope)
    await last_of(log)
    await bus_client.flush()
    assert requests == []


async def test_what_was_sealed_under_a_destroyed_key_is_erased_for_every_reader(
    log: EventLog, keyring: Keyring, bus_client: Client, nats_url: str
) -> None:
    created = await log.append(call_created(CALL))
    await log.append(heard(), cause=created.envelope)
    assert await keyring.destroy(PERSON)
    await bus_client.flush()
    other = await nats.connect(nats_url)
    try:
        async with asyncio.timeout(60), keyring_of(other) as keyring:
            for reader in (log, EventLog(other, CALLS.name, source="test", keyring=keyring)):
                assert (await last_of(reader)).event == heard(ERASED)
                assert (await call_of(reader)).phone_number == ERASED
    finally:
        await other.close()


async def test_events_of_a_forgotten_person_make_no_new_key(
    log: EventLog, keyring: Keyring, bus_client: Client
) -> None:
    created = await log.append(call_created(CALL))
    await keyring.destroy(PERSON)
    await bus_client.flush()
    await log.append(heard(), cause=created.envelope)
    ended = status_changed(await call_of(log), previous=CallStatus.PENDING)
    await log.append(ended, cause=created.envelope)
    assert WORDS.encode() not in await stored_bytes(bus_client, CALLS.name)
    assert (await last_of(log)).event == heard(ERASED)
    assert (await call_of(log)) == ended.call
    of_memory = status_changed(CALL, previous=CallStatus.PENDING)  # a replica may still know the number
    await log.append(of_memory, cause=created.envelope)
    assert (await call_of(log)).phone_number == ERASED
    key = await bus_client.jetstream().get_last_msg(KEYS.name, f"key.{PERSON}")
    assert not key.data


async def test_the_state_of_a_number_makes_no_key(bus_client: Client, keyring: Keyring) -> None:
    numbers = EventLog(bus_client, NUMBERS.name, source="test", keyring=keyring)
    await keyring.prepare([PERSON])
    for text in (NUMBER, ERASED):
        changed = NumberChanged(number=NumberState(number_digest=PERSON, phone_number=NUMBER), occurred_at=NOW)
        await numbers.append(changed, person=PERSON)
        stored = await numbers.last(NumberChanged.subject_for(PERSON))
        assert stored
        assert isinstance(stored.event, NumberChanged)
        assert stored.event.number.phone_number == text
        await keyring.destroy(PERSON)


async def test_a_new_request_of_a_forgotten_person_has_a_new_key_and_the_old_events_stay_erased(
    log: EventLog, keyring: Keyring, bus_client: Client
) -> None:
    created = await log.append(call_created(CALL))
    await log.append(heard(), cause=created.envelope)
    await keyring.destroy(PERSON)
    await bus_client.flush()
    await log.append(call_created(CALL))
    assert (await call_of(log)) == CALL
    assert (await last_of(log)).event == heard(ERASED)


async def test_a_node_that_lags_does_not_hide_the_new_key_of_a_person(
    log: EventLog, keyring: Keyring, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.append(call_created(CALL))
    await keyring.destroy(PERSON)
    former = await get_newest(bus_client, KEYS.name, f"key.{PERSON}")
    await bus_client.flush()
    await log.append(call_created(CALL))

    async def lags(*_: object) -> StoredMessage | None:
        return former

    monkeypatch.setattr("chassis.keyring.get_newest", lags)
    reader = Keyring(bus_client, MasterKey(MASTER_KEY))  # it has not received the change
    assert (await call_of(EventLog(bus_client, CALLS.name, source="test", keyring=reader))) == CALL


async def test_a_read_that_ends_late_does_not_replace_a_newer_key(
    keyring: Keyring, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keyring.seal(call_created(CALL), PERSON)
    former = await get_newest(bus_client, KEYS.name, f"key.{PERSON}")

    async def ends_late(*given: object) -> StoredMessage | None:
        await keyring.destroy(PERSON)
        await bus_client.flush()
        for _ in range(10):  # the reader handles the change, which the server has sent
            await asyncio.sleep(0)
        return former

    async with keyring_of(bus_client) as reader:
        monkeypatch.setattr("chassis.keyring.get_newest", ends_late)
        await reader.load([PERSON])
        assert await reader.seal(heard(), PERSON) == clear_and_personal(heard().body(), SpeechHeard, PERSON)[0]


async def test_a_key_that_is_read_during_a_reconnect_is_not_taken_for_destroyed(
    log: EventLog, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await log.append(call_created(CALL))

    async def reconnects(*given: Any) -> StoredMessage | None:
        message = await get_newest(*given)
        bus_client.stats["reconnects"] += 1
        return message

    monkeypatch.setattr("chassis.keyring.get_newest", reconnects)
    reader = EventLog(bus_client, CALLS.name, source="test", keyring=Keyring(bus_client, MasterKey(MASTER_KEY)))
    assert (await call_of(reader)) == CALL
    await reader.append(heard(), cause=created.envelope)
    assert (await last_of(log)).event == heard()


async def test_a_destroyed_key_is_in_no_message_and_no_file_of_the_server(tmp_path: Path) -> None:
    with nats_server(tmp_path) as url:
        client = await nats.connect(url)
        try:
            await provision(client)
            async with keyring_of(client) as keyring:
                await keyring.seal(call_created(CALL), PERSON)
                await keyring.seal(call_created(CALL), OTHER_PERSON)
                keys = [
                    await client.jetstream().get_last_msg(KEYS.name, f"key.{one}") for one in (PERSON, OTHER_PERSON)
                ]
                assert await keyring.destroy(PERSON)
                assert await keyring.destroy(PERSON), "there was one"
                assert not await keyring.destroy("ef" * 16), "there was none"
                files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
                destroyed, kept = (key.data or b"?" for key in keys)
                assert (destroyed in files, kept in files) == (False, True)
                left = await stored_bytes(client, KEYS.name)
                assert (destroyed in left, kept in left) == (False, True)
        finally:
            await client.close()


async def test_another_master_key_is_refused(keyring: Keyring, bus_client: Client) -> None:
    with pytest.raises(WrongMasterKey, match="another MASTER_KEY"):
        async with keyring_of(bus_client, bytes(32)):
            pass


@pytest.mark.parametrize("header", [PERSON, OTHER_PERSON, "*", "a b"])
async def test_a_body_that_nobody_sealed_is_unreadable_or_erased(
    log: EventLog, bus_client: Client, header: str
) -> None:
    await log.append(call_created(CALL))
    for body in sealed_forms(b"forged"):
        await bus_client.jetstream().publish(heard().subject, body, headers={"ce-person": header})
        assert (await last_of(log)).event == heard(ERASED)


async def test_a_body_that_was_sealed_as_part_of_another_event_is_unreadable(log: EventLog, bus_client: Client) -> None:
    await log.append(call_created(CALL))
    created = await bus_client.jetstream().get_msg(CALLS.name, 1)
    _, sealed = json_and_sealed(created.data or b"")
    for body in sealed_forms(sealed or b""):
        await bus_client.jetstream().publish(heard().subject, body, headers={"ce-person": PERSON})
        with pytest.raises(UnreadableEvent, match="cannot be opened"):
            await last_of(log)


async def test_a_sealed_body_without_its_person_is_unreadable(log: EventLog, bus_client: Client) -> None:
    for body in sealed_forms(b"forged"):
        await bus_client.jetstream().publish(heard().subject, body, headers={"ce-person": ""})
        with pytest.raises(UnreadableEvent):
            await last_of(log)


async def test_a_stored_call_names_its_person_once(log: EventLog, keyring: Keyring, bus_client: Client) -> None:
    created = await log.append(call_created(CALL))
    assert (await stored_bytes(bus_client, CALLS.name)).count(PERSON.encode()) == 1
    assert (await call_of(log)).number_digest == PERSON
    await keyring.destroy(PERSON)
    await bus_client.flush()
    await log.append(status_changed(await call_of(log), previous=CallStatus.PENDING), cause=created.envelope)
    assert (await stored_bytes(bus_client, CALLS.name)).count(PERSON.encode()) == 2
    assert (await call_of(log)).number_digest == PERSON


async def test_sealed_bodies_of_older_builds_are_opened(
    log: EventLog, log_without_keys: EventLog, keyring: Keyring, bus_client: Client
) -> None:
    created = await log.append(call_created(CALL))
    sealed = await keyring.seal(heard(), PERSON)
    assert sealed_forms(b"")[1] == json_and_sealed(sealed)[0] + b"\0"
    key = (await bus_client.jetstream().get_last_msg(KEYS.name, f"key.{PERSON}")).data or b""
    text = b'{"text":"%b"}' % WORDS.encode()
    former = sealed_forms(MasterKey(MASTER_KEY).unwrap(key, PERSON).seal(text, b"speech.heard"))[0]
    await bus_client.jetstream().publish(heard().subject, former, headers={"ce-person": PERSON})
    assert (await last_of(log)).event == heard()
    assert (await last_of(log_without_keys)).event == heard(HIDDEN)
    assert created.envelope.person == PERSON


async def test_a_request_is_sealed_and_a_change_too(bus_client: Client, keyring: Keyring) -> None:
    requests = EventLog(bus_client, REQUESTS.name, source="test", keyring=keyring)
    fields = {
        "campaign_id": "c",
        "contact_id": "1",
        "phone_number": NUMBER,
        "script_template": "Hola {{name}}.",
        "variables": {"name": "Ana"},
    }
    requested = CallRequested.model_validate(fields)
    change = CallChangeRequested(call_id=CALL.call_id, variables={"name": "Ferrán"})
    await requests.append(requested, person=PERSON)
    await requests.append(change, person=PERSON)
    stored = await stored_bytes(bus_client, REQUESTS.name)
    assert [secret for secret in SECRETS if secret.encode() in stored] == []
    assert (await requests.read([CallRequested.subjects()]))[0].event == requested
    assert (await requests.read([change.subject]))[0].event == change
    without_keys = EventLog(bus_client, REQUESTS.name, source="test")
    hidden = (await without_keys.read([CallRequested.subjects()]))[0].event
    assert isinstance(hidden, CallRequested)
    assert hidden.phone_number == HIDDEN
    hidden = (await without_keys.read([change.subject]))[0].event
    assert isinstance(hidden, CallChangeRequested)
    assert hidden.changes() == {"variables": {}}


async def test_events_of_older_builds_stay_readable(log: EventLog, log_without_keys: EventLog) -> None:
    former = CALL.model_copy(update={"number_digest": None})
    await log_without_keys.append(call_created(former))
    await log_without_keys.append(heard(), cause=Envelope.of(id="1", source="edge", time=CALL.created_at))
    assert await call_of(log) == former
    assert (await last_of(log)).event == heard()
