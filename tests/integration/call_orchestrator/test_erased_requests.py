"""Requests of upstream systems are in clear. They leave REQUESTS once they are decided; sealed ones stay."""

import asyncio
import random
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from nats.aio.client import Client
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until

from call_orchestrator.adapters.nats import requests
from call_orchestrator.adapters.nats.dead_letter_keys import NatsDeadLetterKeys
from call_orchestrator.application.do_not_call import DoNotCall
from centralita.replay.decisions import read_calling_policy
from centralita.replay.lost_requests import recorded_after
from centralita.replay.record import StreamSnapshot, export, from_file, from_streams
from centralita.replay.scope import Scope
from centralita.replay.split_record import split_export
from centralita.replay.verifying import verify
from chassis.dead_letter_acts import CannotRetry, SealedMessage, drop, message_of, retry
from chassis.dead_letters import StoredDeadLetter, read_dead_letters, store_dead_letter
from chassis.deletion import delete_message, erase_message
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.provision import provision
from chassis.sealed_copies import key_of_day, open_copy, seal_copy
from contracts import (
    CallCancelRequested,
    CallChangeRequested,
    CallCommandRefused,
    CallCreated,
    CallRequested,
    CallStatus,
    CampaignCreateRequested,
    CommandOutcome,
    ContactRequested,
    Envelope,
    ErasedRequest,
    Event,
    NumberBlockRequested,
    NumberChanged,
    NumberCommand,
    NumberUnblockRequested,
    PersonErased,
    PersonEraseRequested,
    RequestedTerms,
    RequestsErased,
    call_id_of,
    outcome_subject,
)
from contracts.filters import call_state_filter
from contracts.number_digests import NumberDigests
from contracts.streams import DEAD_LETTERS, NUMBERS, REQUESTS
from contracts.vocabulary import RequestResult

NUMBER, DIGEST = "+12125550123", "ab" * 16
PERSON = NumberDigests(b64decode(TEST_KEYS["NUMBER_DIGEST_KEY"])).of(NUMBER)
CALL_ID = call_id_of("r-1")
COLUMNS = "country,region,purposes,voice,days,opens_at,closes_at,max_calls,within_hours,requires_consent,kind,basis"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Rules by which people may be called for one hour of the day that begins in three hours."""
    opens = datetime.now(UTC) + timedelta(hours=3)
    file = tmp_path / "rules.csv"
    hours = f"{opens:%H}:00,{opens:%H}:59"
    file.write_text(f"{COLUMNS},source,confidence\n*,*,*,any,mon-sun,{hours},,,no,house_default,test,test,high\n")
    return file


@pytest.fixture
async def service(nats_url: str, bus_client: Client, rules: Path) -> AsyncIterator[int]:
    async with running(nats_url, 2, calling_rules=rules):
        yield 2


def requested(**fields: object) -> CallRequested:
    given = {
        "request_id": "r-1",
        "campaign_id": "spring",
        "contact_id": "c-1",
        "phone_number": NUMBER,
        "script_template": "Hello {{name}}.",
        "variables": {"name": "Ada"},
        "language": "en",
        "time_zone": "Etc/UTC",
    }
    return CallRequested.model_validate({**given, **fields})


async def left(client: Client) -> list[str]:
    """The subjects of the messages in REQUESTS."""
    info = await client.jetstream().stream_info(REQUESTS.name, subjects_filter=">")
    return sorted(info.state.subjects or {})


async def is_left(client: Client, *events: Event) -> bool:
    return await left(client) == sorted(event.subject for event in events)


async def test_requests_and_changes_are_erased_and_verified_without_them(
    service: int, bus_client: Client, calls: EventLog, rules: Path
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    change = CallChangeRequested(call_id=CALL_ID, variables={"name": "Bo"}, scheduled_at=tomorrow)
    refused = CallChangeRequested(call_id=CALL_ID, script_template="Hello {{nobody}}.")
    cancel = CallCancelRequested(call_id=CALL_ID)
    late = CallChangeRequested(call_id=CALL_ID, metadata={"branch": "3"})
    outcomes = [await outcome_of(bus_client, one) for one in (requested(), change, refused, cancel, late)]
    assert [one.accepted for one in outcomes] == [True, True, False, True, False]
    for other in (requested(request_id="r-2", scheduled_at=tomorrow), requested(request_id="r-3", max_retries=0)):
        assert (await outcome_of(bus_client, other)).accepted
    await until(lambda: is_left(bus_client, cancel))

    call = await call_of(calls, CALL_ID)
    assert call
    assert (call.status, call.phone_number, call.variables) == (CallStatus.CANCELED, NUMBER, {"name": "Bo"})
    decided = [one.event for one in await calls.read([call_state_filter(CALL_ID)])]
    assert [one.changed for one in decided if isinstance(one, CallCommandRefused)] == [
        ("script_template",),
        ("metadata",),
    ]
    found = await verify(await from_streams(bus_client, Scope()), calling_policy=read_calling_policy(rules))
    assert (found.drifts, found.doubts) == ((), ())
    assert (found.calls, found.decisions, found.unjudged) == (3, 6, 1), "the script of the refused change is unknown"
    assert (found.lost_requests, await recorded(calls)) == ((), []), "each erased request is in its decision"


async def recorded(calls: EventLog) -> list[ErasedRequest]:
    """What the log shows about erased requests beside their decisions, in the order of REQUESTS."""
    events = [stored.event for stored in await calls.read([RequestsErased.subjects()])]
    found = [request for event in events if isinstance(event, RequestsErased) for request in event.requests]
    return sorted(found, key=lambda one: one.sequence)


async def test_refused_requests_and_contacts_are_erased_after_their_outcome_and_recorded(
    service: int, bus_client: Client, calls: EventLog, tmp_path: Path
) -> None:
    refused = await outcome_of(bus_client, requested(phone_number="+34912345678"))
    unknown = await outcome_of(bus_client, CallChangeRequested(call_id=call_id_of("none"), metadata={"a": "b"}))
    contact = await outcome_of(bus_client, ContactRequested(campaign_id="summer", phone_number=NUMBER))
    assert [one.accepted for one in (refused, unknown, contact)] == [False, False, False]
    assert refused.call_id == CALL_ID
    terms = RequestedTerms.model_validate({"script_template": "Hello."})
    create = CampaignCreateRequested(campaign_id="spring", terms=terms)
    assert (await outcome_of(bus_client, create)).accepted
    added = ContactRequested(campaign_id="spring", phone_number=NUMBER, time_zone="Etc/UTC")
    assert (await outcome_of(bus_client, added)).accepted
    await until(lambda: is_left(bus_client, create))

    one, two, three, four = await recorded(calls)
    assert [one.sequence, two.sequence, three.sequence, four.sequence] == [1, 2, 3, 5], "the fourth is the campaign"
    refusals = [(item.result, item.reason, item.call_id, item.campaign_id) for item in (one, two, three)]
    assert refusals == [
        (RequestResult.REFUSED, item.reasons[0], str(item.call_id) if item.call_id else None, item.campaign_id)
        for item in (refused, unknown, contact)
    ]
    assert (four.result, four.reason, four.campaign_id) == (RequestResult.ACCEPTED, "", "spring")
    events = [stored.event.body() for stored in await calls.read([RequestsErased.subjects()])]
    assert not any(number in body for number in (NUMBER[1:].encode(), b"34912345678") for body in events)
    await until(lambda: is_acknowledged(bus_client, 5))
    assert (await verify(await from_streams(bus_client, Scope()))).lost_requests == ()

    await bus_client.jetstream().delete_msg(REQUESTS.name, 4)
    file = tmp_path / "log.jsonl.gz"
    await export(bus_client, file)
    records = (await from_streams(bus_client, Scope()), from_file(file, Scope()), split_export(file, Scope(), tmp_path))
    assert [(await verify(one)).lost_requests for one in records] == [((4, 4),)] * 3
    assert (await verify(await from_streams(bus_client, Scope(campaign_id="spring")))).lost_requests == ()


async def is_acknowledged(client: Client, sequence: int) -> bool:
    return (await StreamSnapshot.open(client, Scope())).acknowledged[REQUESTS.name] >= sequence


async def test_a_repeated_request_is_recorded_because_its_decision_is_on_another_position(
    service: int, bus_client: Client, calls: EventLog
) -> None:
    for _ in range(2):
        assert (await outcome_of(bus_client, requested())).accepted
    await until(lambda: is_left(bus_client))
    (repeated,) = await recorded(calls)
    assert (repeated.sequence, repeated.result, repeated.call_id) == (2, RequestResult.ACCEPTED, str(CALL_ID))
    await until(lambda: is_acknowledged(bus_client, 2))
    assert (await verify(await from_streams(bus_client, Scope()))).lost_requests == ()


async def test_requests_that_wait_for_their_erasure_are_recorded_in_one_event(
    bus_client: Client, calls: EventLog
) -> None:
    for number in range(50):
        await bus_client.jetstream().publish(CallRequested.event_name, b"%d" % number)
    adapter = requests.NatsRequests(bus_client, EventLog(bus_client, REQUESTS.name, source="test"), calls)
    records = [ErasedRequest(sequence=number, result=RequestResult.REFUSED) for number in range(1, 51)]
    await asyncio.gather(*(adapter.erase(one.sequence, one) for one in records))
    assert await recorded(calls) == records
    assert await left(bus_client) == []
    events = [stored.event for stored in await calls.read([RequestsErased.subjects()])]
    assert [len(one.requests) for one in events if isinstance(one, RequestsErased)] == [1, 49]


async def test_a_request_whose_record_fails_is_not_erased(
    bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus_client.jetstream().publish(CallRequested.event_name, b"1")
    adapter = requests.NatsRequests(bus_client, EventLog(bus_client, REQUESTS.name, source="test"), calls)
    record = ErasedRequest(sequence=1, result=RequestResult.REFUSED)
    with monkeypatch.context() as patched:
        patched.setattr(calls, "append", AsyncMock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            await adapter.erase(1, record)
    assert await left(bus_client) == [CallRequested.event_name]
    await adapter.erase(1, record)
    assert (await left(bus_client), await recorded(calls)) == ([], [record])


async def test_a_stream_of_an_older_build_is_judged_from_its_next_provisioning_on(
    bus_client: Client, calls: EventLog
) -> None:
    js = bus_client.jetstream()
    config = (await js.stream_info(REQUESTS.name)).config
    await js.update_stream(replace(config, metadata={}))
    for number in range(1, 4):
        await js.publish(CallCancelRequested(call_id=CALL_ID).subject, b"{}")
        await js.delete_msg(REQUESTS.name, number)
    assert await recorded_after(bus_client) is None
    for _ in range(2):
        await provision(bus_client)
        assert await recorded_after(bus_client) == 3
        await js.publish(CallCancelRequested(call_id=CALL_ID).subject, b"{}")


async def test_a_sealed_request_stays(service: int, bus_client: Client, keyring: Keyring, calls: EventLog) -> None:
    log = EventLog(bus_client, REQUESTS.name, source="edge", keyring=keyring)
    await log.append(requested(), person=DIGEST)
    await until(lambda: call_of(calls, CALL_ID))
    assert (await outcome_of(bus_client, requested(request_id="r-2"))).accepted
    await until(lambda: is_left(bus_client, requested()))
    assert (await log.read([CallRequested.subjects()]))[0].event == requested()


async def test_a_request_that_was_decided_before_a_crash_is_erased_when_it_is_delivered_again(
    nats_url: str, bus_client: Client, calls: EventLog, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    async def fail_once(client: Client, stream: str, sequence: int) -> None:
        tries.append(sequence)
        if len(tries) == 1:
            raise ConnectionError
        await erase_message(client, stream, sequence)

    monkeypatch.setattr(requests, "erase_message", fail_once)
    async with running(nats_url, 1, calling_rules=rules):
        assert (await outcome_of(bus_client, requested())).accepted
        await until(lambda: is_left(bus_client))
    assert tries == [1, 1]
    decided = [one.event for one in await calls.read([call_state_filter(CALL_ID)])]
    assert [type(one) for one in decided] == [CallCreated]
    assert (await bus_client.jetstream().stream_info(DEAD_LETTERS.name)).state.messages == 0


async def test_a_command_for_a_list_is_erased_and_recorded_and_verify_knows_the_number(
    service: int, bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    log = EventLog(bus_client, REQUESTS.name, source="edge", keyring=keyring)
    await log.append(requested(), person=PERSON)
    await until(lambda: call_of(calls, CALL_ID))
    sealed = await bus_client.subscribe(outcome_subject("sealed"))
    block = NumberBlockRequested(number_digest=PERSON, phone_number=NUMBER)
    await log.append(block, event_id="sealed", person=PERSON)
    assert CommandOutcome.model_validate_json((await sealed.next_msg(timeout=60)).data).accepted
    wrong = await outcome_of(bus_client, block.model_copy(update={"number_digest": DIGEST}))
    refused = await bus_client.subscribe(outcome_subject("refused"))
    await log.append(requested(request_id="r-2"), event_id="refused", person=PERSON)
    assert b"do-not-call" in (await refused.next_msg(timeout=60)).data
    unblock = NumberUnblockRequested(number_digest=PERSON)
    assert [wrong.accepted, (await outcome_of(bus_client, unblock)).accepted] == [False, True]
    await until(lambda: is_left(bus_client, requested()))

    accepted, other = RequestResult.ACCEPTED, RequestResult.REFUSED
    found = [(one.sequence, one.result, one.number_digest) for one in await recorded(calls)]
    assert found == [(2, accepted, PERSON), (3, other, DIGEST), (5, accepted, PERSON)]
    await until(lambda: is_acknowledged(bus_client, 5))
    verification = await verify(await from_streams(bus_client, Scope()))
    assert (verification.drifts, verification.doubts, verification.lost_requests) == ((), (), ())


@pytest.mark.parametrize("failing", ["record", "deletion"])
async def test_a_command_for_a_list_that_is_delivered_again_after_a_crash_undoes_no_later_one(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The block is decided, but not erased. The removal is decided before the block is delivered again."""
    tries: list[int] = []
    may_go_on = asyncio.Event()

    async def fail_first(client: Client, stream: str, sequence: int) -> None:
        tries.append(sequence)
        if tries == [1]:
            raise ConnectionError
        await delete_message(client, stream, sequence)

    async def record(self: requests.NatsRequests) -> None:
        tries.append(0)
        if tries == [0]:
            raise ConnectionError
        await record_waiting(self)

    async def handle(self: DoNotCall, command: NumberCommand, stored_at: datetime, cause: Envelope) -> CommandOutcome:
        if tries and isinstance(command, NumberBlockRequested):
            await may_go_on.wait()
        return await decide(self, command, stored_at, cause)

    record_waiting, decide = requests.NatsRequests._record_waiting, DoNotCall.handle
    monkeypatch.setattr(DoNotCall, "handle", handle)
    if failing == "record":
        monkeypatch.setattr(requests.NatsRequests, "_record_waiting", record)
    else:
        monkeypatch.setattr(requests, "delete_message", fail_first)
    log = EventLog(bus_client, REQUESTS.name, source="edge", keyring=keyring)
    async with running(nats_url, 1):
        await log.append(NumberBlockRequested(number_digest=PERSON, phone_number=NUMBER), person=PERSON)
        assert (await outcome_of(bus_client, NumberUnblockRequested(number_digest=PERSON))).accepted
        may_go_on.set()
        await until(lambda: is_left(bus_client))
        await until(lambda: is_acknowledged(bus_client, 2))
    states = EventLog(bus_client, NUMBERS.name, source="test", keyring=keyring)
    newest = await states.last(NumberChanged.subject_for(PERSON))
    assert newest
    assert isinstance(newest.event, NumberChanged)
    assert not newest.event.number.is_listed
    assert {one.sequence for one in await recorded(calls)} == {1, 2}
    assert (await bus_client.jetstream().stream_info(DEAD_LETTERS.name)).state.messages == 0


async def dead_letters(client: Client) -> list[StoredDeadLetter]:
    return [stored async for stored in read_dead_letters(client)]


async def until_dead(client: Client, count: int) -> list[StoredDeadLetter]:
    """Waits for so many dead letters, and until no request is left in clear."""

    async def is_dead() -> bool:
        return len(await dead_letters(client)) == count and not await left(client)

    await until(is_dead)
    return await dead_letters(client)


async def test_an_invalid_request_is_sealed_in_its_dead_letter_and_can_be_retried(
    service: int, bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    js, body = bus_client.jetstream(), requested().body().replace(NUMBER.encode(), b"+1")
    await js.publish(CallRequested.event_name, body, headers={"ce-id": "u-1", "name": "+13125550177"})
    (stored,) = await until_dead(bus_client, 1)
    message = await js.get_msg(DEAD_LETTERS.name, stored.sequence)
    everything = (message.data or b"") + str(message.headers).encode()
    assert not any(text in everything for text in (b"3125550177", b"Ada", b"u-1"))
    (record,) = await recorded(calls)
    assert (record.sequence, record.result, record.reason) == (1, RequestResult.DEAD_LETTER, "")
    await until(lambda: is_acknowledged(bus_client, 1))
    assert (await verify(await from_streams(bus_client, Scope()))).lost_requests == ()

    with pytest.raises(SealedMessage, match="MASTER_KEY"):
        await message_of(bus_client, stored)
    shown = await message_of(bus_client, stored, keyring)
    assert shown
    assert (shown.subject, shown.data) == (CallRequested.event_name, body)
    assert (shown.headers["ce-id"], shown.headers["name"]) == ("u-1", "+13125550177")
    assert await retry(bus_client, stored, keyring=keyring) == 2
    (again,) = await until_dead(bus_client, 1)
    assert (again.dead_letter.sequence, again.sequence) == (2, 2)
    await drop(bus_client, again.sequence)
    assert await dead_letters(bus_client) == []


CLEAR, SPOOFED = requested().body(), {"ce-person": DIGEST}


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (CallRequested.event_name, CLEAR),
        (CallRequested.event_name, CLEAR + b"\0not sealed"),
        (CallRequested.event_name, CLEAR.replace(b"{", b'{"sealed":"AAAA",', 1)),
        (CallCancelRequested(call_id=CALL_ID).subject, b"{}\0Ada, " + NUMBER.encode()),
        (f"{CampaignCreateRequested.event_name}.spring", b'{"terms":{"script_template":"Hello Ada."}}'),
    ],
)
async def test_a_header_does_not_keep_a_request_in_clear(
    service: int, bus_client: Client, calls: EventLog, keyring: Keyring, subject: str, body: bytes
) -> None:
    js = bus_client.jetstream()
    await js.publish(subject, body, headers=SPOOFED)
    (stored,) = await until_dead(bus_client, 1)
    assert stored.dead_letter.reasons == ("header ce-person: the body is not sealed; leave the header out",)
    message = await js.get_msg(DEAD_LETTERS.name, stored.sequence)
    assert not any(text in (message.data or b"") for text in (b"Ada", NUMBER[1:].encode()))
    shown = await message_of(bus_client, stored, keyring)
    assert shown
    assert (shown.data, shown.headers["ce-person"]) == (body, DIGEST)
    assert [one.result for one in await recorded(calls)] == [RequestResult.DEAD_LETTER]


async def test_a_request_that_no_key_opens_is_refused_recorded_and_erased(
    service: int, bus_client: Client, calls: EventLog
) -> None:
    empty = requested().model_dump_json(exclude={"phone_number", "variables", "script_template"}, exclude_unset=True)
    await bus_client.jetstream().publish(
        CallRequested.event_name, empty.encode() + b"\0" + NUMBER.encode(), headers=SPOOFED
    )
    await until(lambda: is_left(bus_client))
    (record,) = await recorded(calls)
    assert record.result is RequestResult.REFUSED
    assert record.reason.startswith("phone_number: the person was erased")
    assert await dead_letters(bus_client) == []


async def test_a_change_in_clear_with_the_header_of_a_person_is_not_carried_out(
    service: int, bus_client: Client, calls: EventLog
) -> None:
    later = requested(scheduled_at=datetime.now(UTC) + timedelta(days=3))
    assert (await outcome_of(bus_client, later)).accepted
    change = CallChangeRequested(call_id=CALL_ID, metadata={"note": "private"}, max_retries=0)
    await bus_client.jetstream().publish(change.subject, change.body(), headers=SPOOFED)
    await until_dead(bus_client, 1)
    assert (await outcome_of(bus_client, CallChangeRequested(call_id=CALL_ID, language="es"))).accepted
    call = await call_of(calls, CALL_ID)
    assert call
    assert (call.metadata, call.language, call.max_retries) == ({}, "es", 3)


async def test_a_copy_has_the_whole_subject(service: int, bus_client: Client, keyring: Keyring) -> None:
    subject = f"call.cancel_requested.{'x' * 150}"
    await bus_client.jetstream().publish(subject, b"{}")
    (stored,) = await until_dead(bus_client, 1)
    message = await message_of(bus_client, stored, keyring)
    assert message
    assert (message.subject, len(stored.dead_letter.subject)) == (subject, len("call.cancel_requested.") + 100)


async def test_a_damaged_copy_is_as_one_without_a_key(service: int, bus_client: Client, keyring: Keyring) -> None:
    await bus_client.jetstream().publish(CallRequested.event_name, b"{}")
    (stored,) = await until_dead(bus_client, 1)
    assert stored.copy
    damaged = replace(stored.copy, sealed=stored.copy.sealed[:-1] + bytes([stored.copy.sealed[-1] ^ 1]))
    assert await open_copy(damaged, keyring) is None
    assert await open_copy(stored.copy, keyring)


async def test_a_sealed_dead_letter_is_found_by_the_erasure_of_its_person(
    service: int, bus_client: Client, calls: EventLog
) -> None:
    js = bus_client.jetstream()
    for spoken in (b"+1 212 555 0124", b"+1 (212)  -  555-0123", b"2125550123", b"001 212 555 0123"):
        await js.publish(CallRequested.event_name, b'{"phone_number": "%s"}' % spoken)
    *_, newest = await until_dead(bus_client, 4)
    assert newest.copy
    damaged = replace(newest.copy, sealed=b"not opened")
    await store_dead_letter(bus_client, newest.dead_letter.model_copy(update={"sequence": 99}), damaged)
    former = newest.dead_letter.model_copy(update={"sequence": 100, "persons": None})
    await store_dead_letter(bus_client, former, newest.copy)
    assert (await outcome_of(bus_client, PersonEraseRequested(number_digest=PERSON))).accepted
    certificate = await calls.last(PersonErased.subject_for(PERSON))
    assert certificate
    assert isinstance(certificate.event, PersonErased)
    assert (certificate.event.dead_letters_removed, certificate.event.had_key) == (5, False)
    assert [one.dead_letter.sequence for one in await dead_letters(bus_client)] == [1]


async def test_copies_become_unreadable_when_the_key_of_their_day_is_old(
    service: int, bus_client: Client, keyring: Keyring
) -> None:
    await bus_client.jetstream().publish(CallRequested.event_name, b"{}")
    (recent,) = await until_dead(bus_client, 1)
    long_ago, text = datetime(2026, 1, 5, tzinfo=UTC), b'{"subject": "call.requested", "headers": {}}' + b"\0body"
    copy = await seal_copy(text, key_of_day(long_ago), keyring)
    await store_dead_letter(bus_client, recent.dead_letter.model_copy(update={"sequence": 99}), copy)
    old = (await dead_letters(bus_client))[-1]
    await NatsDeadLetterKeys(bus_client, keyring, 0).destroy_old()
    message = await message_of(bus_client, old, keyring)
    assert message
    assert message.data == b"body"
    for _ in range(2):
        await NatsDeadLetterKeys(bus_client, keyring, 30).destroy_old()
    with pytest.raises(SealedMessage, match="DEAD_LETTER_RETENTION_DAYS"):
        await message_of(bus_client, old, keyring)
    assert await message_of(bus_client, recent, keyring)
    with pytest.raises(CannotRetry, match=f"dead-letters drop {old.sequence}"):
        await retry(bus_client, old, keyring=keyring)


async def test_a_request_without_room_for_its_copy_stays_until_its_person_is_erased(
    service: int, bus_client: Client
) -> None:
    body = random.Random(7).randbytes(bus_client.max_payload - 1_000) + NUMBER.encode()
    await bus_client.jetstream().publish(CallRequested.event_name, body, headers=SPOOFED)

    async def is_dead() -> bool:
        return len(await dead_letters(bus_client)) == 1

    await until(is_dead)
    (stored,) = await dead_letters(bus_client)
    assert (stored.is_reference, await left(bus_client)) == (True, [CallRequested.event_name])
    assert (await outcome_of(bus_client, PersonEraseRequested(number_digest=PERSON))).accepted
    assert await dead_letters(bus_client) == []
    assert CallRequested.event_name not in await left(bus_client)


async def test_a_message_that_is_no_dead_letter_stops_neither_the_list_nor_an_erasure(
    service: int, bus_client: Client, calls: EventLog
) -> None:
    js = bus_client.jetstream()
    for data in (b"", b"{}", b"\xff\0\xff", b'{"sequence": "x"}'):
        await js.publish("dead_letter.call.requested", data)
    await js.publish(CallRequested.event_name, b'{"phone_number": "%s"}' % NUMBER.encode())
    *unreadable, whole = await until_dead(bus_client, 5)
    assert {one.dead_letter.reasons[0] for one in unreadable} == {"this dead letter cannot be decoded"}
    assert not any(one.is_reference for one in (*unreadable, whole))
    assert (await outcome_of(bus_client, PersonEraseRequested(number_digest=PERSON))).accepted
    assert len(await dead_letters(bus_client)) == 4
    for one in await dead_letters(bus_client):
        await drop(bus_client, one.sequence)
    assert await dead_letters(bus_client) == []
