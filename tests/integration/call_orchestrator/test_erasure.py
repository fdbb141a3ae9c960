"""The erasure of a person on a real server: what ends, what is removed, and what a crash or a repetition changes."""

import asyncio
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.policies import ANY_TIME_POLICY
from tests.builders.requests import request
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import (
    call_of,
    end,
    outcome_of,
    running,
    until,
    until_dialing,
    with_status,
)

from call_orchestrator.adapters.nats.personal_messages import NatsPersonalMessages
from call_orchestrator.adapters.nats.requests import NatsRequests
from call_orchestrator.adapters.nats.timers import NatsTimers
from call_orchestrator.application.erasure import Erasure
from call_orchestrator.application.numbers import MIN_RETENTION, Numbers
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import Verification, verify
from chassis.dead_letters import store_dead_letter
from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from contracts import (
    CallChangeRequested,
    CallRequested,
    CallRetryRequested,
    CallStatus,
    CampaignCreateRequested,
    CampaignStartRequested,
    CommandOutcome,
    ContactRefused,
    ContactRequested,
    DialRefused,
    Envelope,
    ErasedRequest,
    ErasureReason,
    HangupReason,
    NumberBlockRequested,
    NumberChanged,
    NumberState,
    PersonErased,
    PersonEraseRequested,
    RequestedTerms,
    RequestsErased,
    SpeechHeard,
    call_id_of,
    outcome_subject,
)
from contracts.callees import callee_of
from contracts.contacts import waiting_contact
from contracts.dead_letters import DeadLetter
from contracts.named_persons import NamedPersons
from contracts.number_digests import NumberDigests
from contracts.personal import ERASED
from contracts.streams import CALLS, CONTACTS, DEAD_LETTERS, KEYS, NUMBERS, REQUESTS, SCHEDULES
from contracts.vocabulary import RequestResult

NUMBER, OTHER_NUMBER, WORDS = "+12125550123", "+12125550124", "My doctor is called Ferrán"
DIGESTS = NumberDigests(b64decode(TEST_KEYS["NUMBER_DIGEST_KEY"]))
NAMED = NamedPersons(DIGESTS, {"US"})
PERSON, OTHER = DIGESTS.of(NUMBER), DIGESTS.of(OTHER_NUMBER)
ERASE = PersonEraseRequested(number_digest=PERSON)


async def stored_bytes(client: Client, stream: str) -> bytes:
    """Returns the subjects, headers and bodies of all messages of a stream."""
    js = client.jetstream()
    state = (await js.stream_info(stream)).state
    found = []
    for sequence in range(state.first_seq, state.last_seq + 1):
        try:
            message = await js.get_msg(stream, sequence)
        except NotFoundError:  # it was deleted
            continue
        found.append((message.subject or "").encode() + str(message.headers).encode() + (message.data or b""))
    return b"\n".join(found)


async def erased(calls: EventLog, person: str = PERSON) -> PersonErased | None:
    stored = await calls.last(PersonErased.subject_for(person))
    return stored.event if stored and isinstance(stored.event, PersonErased) else None


async def erase_during(live: UUID, client: Client, calls: EventLog) -> None:
    """Erases the person, who is on the phone: the erasure hangs up, waits for the end of the call, and is accepted."""
    outcome = asyncio.create_task(outcome_of(client, ERASE))

    async def is_hanging_up() -> bool:
        call = await call_of(calls, live)
        return bool(call and call.hangup_reason is HangupReason.CANCELED)

    await until(is_hanging_up)
    assert await erased(calls) is None, "the erasure waits for the end of the call"
    await end(calls, live)
    assert (await outcome).accepted


async def verified(client: Client) -> Verification:
    return await verify(await from_streams(client, Scope()), calling_policy=ANY_TIME_POLICY)


async def ask(client: Client, *requests: CallRequested) -> list[UUID]:
    for one in requests:
        await client.jetstream().publish(one.subject, one.body())
    return [call_id_of(one.request_id or "") for one in requests]


async def test_waiting_calls_are_canceled_a_live_one_is_hung_up_and_then_the_key_is_destroyed(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    later = datetime.now(UTC) + timedelta(days=3)
    async with running(nats_url, 2):
        live, *_ = await ask(bus_client, request("live"))
        await until_dialing(calls, [live], 1)
        ids = await ask(
            bus_client, request("later", scheduled_at=later), request("put-off"), request("x", OTHER_NUMBER)
        )
        await until_dialing(calls, [ids[2]], 1)
        await until(lambda: call_of(calls, ids[1]))
        await calls.append(SpeechHeard(call_id=live, attempt=1, turn=1, text=WORDS, language="en"), person=PERSON)
        await erase_during(live, bus_client, calls)
    states = [await call_of(calls, one) for one in (live, *ids)]
    assert [state.status for state in states if state] == [
        CallStatus.CANCELED,
        CallStatus.CANCELED,
        CallStatus.CANCELED,
        CallStatus.DIALING,
    ]
    assert [state.phone_number for state in states if state] == [ERASED, ERASED, ERASED, OTHER_NUMBER]
    certificate = await erased(calls)
    assert certificate
    assert (certificate.had_key, certificate.reason) == (True, ErasureReason.REQUEST)
    everything = b"".join([await stored_bytes(bus_client, one.name) for one in (CALLS, KEYS, NUMBERS)])
    assert NUMBER[1:].encode() not in everything
    assert await stored_bytes(bus_client, KEYS.name) != b""
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_call_whose_attempt_has_begun_and_whose_timer_is_not_set_yet_is_hung_up(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 1):
        [live] = await ask(bus_client, request("live"))
        await until_dialing(calls, [live], 1)
        js = bus_client.jetstream()

        async def has_one_timer() -> bool:
            return (await js.stream_info(SCHEDULES.name)).state.messages == 1

        await until(has_one_timer)  # that of the attempt has replaced the first one
        await js.purge_stream(SCHEDULES.name)
        await erase_during(live, bus_client, calls)


def erasure_of(client: Client, calls: EventLog, keyring: Keyring, countdown: list[int]) -> tuple[Erasure, Any]:
    """Returns the operation, which crashes after so many steps, and the port by which it finds messages."""
    requests, contacts, states = (
        EventLog(client, stream.name, source="test", keyring=keyring) for stream in (REQUESTS, CONTACTS, NUMBERS)
    )
    erased_requests = NatsRequests(client, requests, calls)
    messages = NatsPersonalMessages(client, calls, requests, contacts, DIGESTS, NAMED, erased_requests, keyring)
    log, numbers, found, keys = (UntilCrash(one, countdown) for one in (calls, states, messages, keyring))
    return Erasure(log, Numbers(numbers, DIGESTS, MIN_RETENTION), found, keys, calls.now), messages


def command_for(person: str, id: str) -> StoredEvent[PersonEraseRequested]:
    now = datetime.now(UTC)
    envelope = Envelope.of(id=id, source="test", time=now)
    return StoredEvent(PersonEraseRequested(number_digest=person), envelope, 1, stored_at=now)


async def add_contact(contacts: EventLog, contact_id: str, number: str) -> None:
    given = ContactRequested(campaign_id="spring", contact_id=contact_id, phone_number=number)
    await contacts.append(waiting_contact(given, callee_of(number, None), DIGESTS, datetime.now(UTC)))


async def test_contacts_and_dead_letters_of_the_person_are_removed_and_those_of_others_stay(
    bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    js, contacts = bus_client.jetstream(), EventLog(bus_client, CONTACTS.name, source="test", keyring=keyring)
    await add_contact(contacts, "c-0", NUMBER)
    await add_contact(contacts, "c-1", OTHER_NUMBER)
    for spoken in ("+1 (212) 555-0123", "+1 212 555 0124"):
        ack = await js.publish("call.requested", b'{"phone_number": "%s"}' % spoken.encode())
        letter = DeadLetter.of(
            stream=REQUESTS.name,
            sequence=ack.seq,
            consumer="test",
            subject="call.requested",
            reasons=["phone_number: not in E.164"],
            deliveries=1,
        )
        await store_dead_letter(bus_client, letter)
    erasure, _ = erasure_of(bus_client, calls, keyring, [0])
    assert (await erasure.handle(command_for(PERSON, "erase"))).accepted
    certificate = await erased(calls)
    assert certificate
    assert (certificate.contacts_removed, certificate.dead_letters_removed, certificate.had_key) == (1, 1, False)
    left = await stored_bytes(bus_client, CONTACTS.name)
    assert (PERSON.encode() in left, OTHER.encode() in left) == (False, True)
    refused = [stored.event for stored in await calls.read([ContactRefused.subjects()])]
    assert [one.contact_id for one in refused if isinstance(one, ContactRefused)] == ["c-0"]
    requests = await stored_bytes(bus_client, REQUESTS.name)
    assert (b"555-0123" in requests, b"555 0124" in requests) == (False, True)
    recorded = await calls.last(RequestsErased.subjects())
    assert recorded
    assert isinstance(recorded.event, RequestsErased)
    assert recorded.event.requests == (ErasedRequest(sequence=1, result=RequestResult.PERSON_ERASED),)
    assert (await js.stream_info(DEAD_LETTERS.name)).state.messages == 1


async def test_the_open_calls_of_a_person_are_found_without_a_look_at_those_of_others(
    bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    timers = NatsTimers(bus_client, "test", calls.now)
    _, messages = erasure_of(bus_client, calls, keyring, [0])
    deadline_at = calls.now() + timedelta(days=3)

    async def schedule(number: int, person: str, *, is_former: bool = False) -> UUID:
        call = a_call(
            call_id=UUID(int=number),
            phone_number=NUMBER if person == PERSON else OTHER_NUMBER,
            number_digest=person,
            status=CallStatus.PENDING,
            due_at=deadline_at,
            deadline_at=deadline_at,
        )
        created = await calls.append(call_created(call))
        stored = call.model_copy(update={"number_digest": None}) if is_former else call
        await timers.set(stored, deadline_at, previous=None, cause=created.envelope)
        return call.call_id

    expected = [await schedule(1, PERSON), await schedule(2, PERSON)]
    received: list[int] = []
    for numbers in (range(3, 4), range(4, 300)):
        for number in numbers:
            await schedule(number, OTHER)
        before = bus_client.stats["in_msgs"]
        assert await messages.open_calls(PERSON) == expected
        received.append(bus_client.stats["in_msgs"] - before)
    assert received[0] == received[1]
    assert len(await messages.open_calls(OTHER)) == 297
    expected.append(await schedule(300, PERSON, is_former=True))
    assert await messages.open_calls(PERSON) == expected, "the schedules of older builds do not name the person"


class Crash(Exception):
    """The process ends."""


@dataclass
class UntilCrash:
    """Passes calls on, and raises Crash after the call with this number, if it appends, removes or destroys."""

    target: Any
    countdown: list[int]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.target, name)
        if name not in ("append", "cancel", "remove_contact", "remove_dead_letters", "destroy"):
            return found

        async def act(*args: Any, **keywords: Any) -> Any:
            result = await found(*args, **keywords)
            self.countdown[0] -= 1
            if self.countdown[0] == 0:
                raise Crash
            return result

        return act


async def test_an_erasure_is_finished_after_a_crash_at_each_step(
    bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    contacts = EventLog(bus_client, CONTACTS.name, source="test", keyring=keyring)
    for steps in count(1):
        number = f"+1212555{100 + steps:04}"
        person, call_id = DIGESTS.of(number), UUID(int=steps)
        await add_contact(contacts, f"c-{steps}", number)
        await keyring.seal(request("key", number), person)
        heard = SpeechHeard(call_id=call_id, attempt=1, turn=1, text=WORDS, language="en")
        await calls.append(heard, person=person)
        command, has_crashed = command_for(person, f"erase-{steps}"), False
        try:
            await erasure_of(bus_client, calls, keyring, [steps])[0].handle(command)
        except Crash:
            has_crashed = True
        erasure, messages = erasure_of(bus_client, calls, keyring, [0])
        for _ in range(2):
            assert (await erasure.handle(command)).accepted
        assert len(await calls.read([PersonErased.subject_for(person)])) == 1
        assert await messages.contacts(person) == []
        assert len(await calls.read([ContactRefused.subject_for(call_id_of(f"spring:c-{steps}"))])) == 1
        (spoken,) = await calls.read([SpeechHeard.subject_for(call_id)])
        assert isinstance(spoken.event, SpeechHeard)
        assert spoken.event.text == ERASED
        if not has_crashed:
            break
    assert steps == 7, "six steps change something: number, refusal, contact, dead letters, key and fact"


async def test_an_older_command_that_is_delivered_again_does_not_erase_a_person_who_came_back(
    bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    erasure, _ = erasure_of(bus_client, calls, keyring, [0])
    older = command_for(PERSON, "older")
    assert (await erasure.handle(older)).accepted
    assert (await erasure.handle(command_for(PERSON, "newer"))).accepted
    await keyring.seal(request("back"), PERSON)
    assert (await erasure.handle(older)).accepted
    assert len(await calls.read([PersonErased.subject_for(PERSON)])) == 2
    assert (await bus_client.jetstream().get_last_msg(KEYS.name, f"key.{PERSON}")).data, "the new key is kept"


async def test_a_call_that_was_created_until_the_erasure_began_is_forbidden_by_the_state_of_its_number(
    bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    erasure, _ = erasure_of(bus_client, calls, keyring, [0])
    command = command_for(PERSON, "erase")
    created_at = calls.now()  # its request was stored before the command, and decided after that
    assert (await erasure.handle(command)).accepted
    (changed,) = await EventLog(bus_client, NUMBERS.name, source="test").read([NumberChanged.subject_for(PERSON)])
    certificate = await erased(calls)
    assert isinstance(changed.event, NumberChanged)
    assert certificate
    assert changed.event.number.erased_at == certificate.requested_at
    assert command.stored_at
    assert command.stored_at < created_at <= certificate.requested_at


async def test_an_earlier_request_is_refused_and_a_later_one_brings_the_person_back(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 1):
        (first,) = await ask(bus_client, request("first", scheduled_at=datetime.now(UTC) + timedelta(days=3)))
        await until(lambda: call_of(calls, first))
        assert (await outcome_of(bus_client, ERASE)).accepted
        delayed = request("delayed")
        refused = await outcome_of(bus_client, delayed, {"ce-time": "2026-03-02T15:00:00Z"})
        assert not refused.accepted
        assert refused.reasons[0].startswith("phone_number: the person was erased on request of ")
        (second,) = await ask(bus_client, request("second"))
        await until_dialing(calls, [second], 1)
        states = [await call_of(calls, one) for one in (first, second)]
        assert [state.phone_number for state in states if state] == [ERASED, NUMBER]
        await end(calls, second)
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_an_earlier_request_is_refused_also_if_the_clock_of_its_sender_is_ahead(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    ahead = {"ce-time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    terms = RequestedTerms(script_template="Hello.", language="en")
    async with running(nats_url, 1):
        for command in (
            CampaignCreateRequested(campaign_id="spring", terms=terms),
            CampaignStartRequested(campaign_id="spring"),
        ):
            assert (await outcome_of(bus_client, command)).accepted
        later = datetime.now(UTC) + timedelta(days=3)
        (changed,) = await ask(bus_client, request("changed", OTHER_NUMBER, scheduled_at=later))
        await until(lambda: call_of(calls, changed))
    waiting = [
        request("delayed"),
        ContactRequested(campaign_id="spring", contact_id="c-1", phone_number=NUMBER),
        CallChangeRequested(call_id=changed, phone_number=NUMBER),
    ]
    js = bus_client.jetstream()
    count = (await js.stream_info(REQUESTS.name)).state.messages
    outcomes = [asyncio.create_task(outcome_of(bus_client, one, ahead)) for one in waiting]

    async def are_stored() -> bool:
        return (await js.stream_info(REQUESTS.name)).state.messages == count + len(waiting)

    await until(are_stored)  # no replica runs yet: these requests are decided after the erasure
    numbers = EventLog(bus_client, NUMBERS.name, source="test")
    erased_number = NumberState(number_digest=PERSON).erased(datetime.now(UTC))
    await numbers.append(NumberChanged(number=erased_number, occurred_at=datetime.now(UTC)))
    async with running(nats_url, 1):
        refused = await asyncio.gather(*outcomes)
    assert [one.accepted for one in refused] == [False] * 3
    assert all("the person was erased on request of " in one.reasons[0] for one in refused)


async def test_a_call_is_changed_to_the_number_of_an_erased_person_as_a_new_call_gets_it(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    erase_other = PersonEraseRequested(number_digest=OTHER)
    later = datetime.now(UTC) + timedelta(days=3)
    async with running(nats_url, 1):
        first, changed = await ask(bus_client, request("first", OTHER_NUMBER), request("changed", scheduled_at=later))
        await until_dialing(calls, [first], 1)
        await end(calls, first)
        await until(lambda: with_status(calls, [first], CallStatus.BUSY))
        await until(lambda: call_of(calls, changed))
        assert (await outcome_of(bus_client, erase_other)).accepted
        change = CallChangeRequested(call_id=changed, phone_number=OTHER_NUMBER)
        refused = await outcome_of(bus_client, change, {"ce-time": "2026-03-02T15:00:00Z"})
        assert not refused.accepted
        assert refused.reasons[0].startswith("phone_number: the person was erased on request of ")
        assert not (await bus_client.jetstream().get_last_msg(KEYS.name, f"key.{OTHER}")).data, "it made no key"
        assert (await outcome_of(bus_client, change)).accepted, "it brings the person back"
        due = CallChangeRequested(call_id=changed, scheduled_at=datetime.now(UTC))
        assert (await outcome_of(bus_client, due)).accepted
        await until_dialing(calls, [changed], 1)
        await end(calls, changed)
    call = await call_of(calls, changed)
    assert call
    assert (call.phone_number, call.number_digest) == (OTHER_NUMBER, OTHER)
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_sealed_change_that_an_erasure_overtakes_is_refused(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    requests = EventLog(bus_client, REQUESTS.name, source="edge", keyring=keyring)
    async with running(nats_url, 1):
        (call_id,) = await ask(bus_client, request("later", scheduled_at=datetime.now(UTC) + timedelta(days=3)))
        await until(lambda: call_of(calls, call_id))
    outcomes = [await bus_client.subscribe(outcome_subject(id)) for id in ("number", "zone")]
    changes = [
        CallChangeRequested(call_id=call_id, phone_number=OTHER_NUMBER),
        CallChangeRequested(call_id=call_id, time_zone="America/New_York"),
    ]
    for id, change in zip(("number", "zone"), changes, strict=True):
        await requests.append(change, event_id=id, person=PERSON)
    await keyring.destroy(PERSON)
    async with running(nats_url, 1):
        refused = [CommandOutcome.model_validate_json((await one.next_msg(timeout=60)).data) for one in outcomes]
    reason = "phone_number: the person was erased before the request was decided"
    assert [(one.accepted, one.reasons) for one in refused] == [(False, (reason,))] * 2
    assert (await bus_client.jetstream().stream_info(DEAD_LETTERS.name)).state.messages == 0
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_sealed_request_that_an_erasure_overtakes_is_refused_and_a_list_gets_its_number(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    requests = EventLog(bus_client, REQUESTS.name, source="edge", keyring=keyring)
    block = NumberBlockRequested(number_digest=PERSON, phone_number=NUMBER)
    outcomes = [await bus_client.subscribe(outcome_subject(id)) for id in ("call", "block")]
    await requests.append(request("overtaken"), event_id="call", person=PERSON)
    await requests.append(block, event_id="block", person=PERSON)
    await keyring.destroy(PERSON)
    async with running(nats_url, 1):
        refused, listed = [
            CommandOutcome.model_validate_json((await one.next_msg(timeout=60)).data) for one in outcomes
        ]
    assert refused.reasons == ("phone_number: the person was erased before the request was decided",)
    assert listed.accepted, listed.reasons
    states = EventLog(bus_client, NUMBERS.name, source="test", keyring=keyring)
    number = await states.last(NumberChanged.subject_for(PERSON))
    assert number
    assert isinstance(number.event, NumberChanged)
    assert (number.event.number.is_listed, number.event.number.phone_number) == (True, None)
    assert (await bus_client.jetstream().stream_info(DEAD_LETTERS.name)).state.messages == 0
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_call_whose_number_is_erased_is_never_dialled_again(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 1):
        (call_id,) = await ask(bus_client, request("once"))
        await until_dialing(calls, [call_id], 1)
        await calls.append(DialRefused(call_id=call_id, attempt=1, is_permanent=True, reason="no such line"))
        await until(lambda: with_status(calls, [call_id], CallStatus.FAILED))
        assert (await outcome_of(bus_client, ERASE)).accepted
        await ask(bus_client, request("again"))  # another call of the person, with a new key
        assert (await outcome_of(bus_client, CallRetryRequested(call_id=call_id))).accepted

        async def is_refused() -> bool:
            call = await call_of(calls, call_id)
            return bool(call and call.status is CallStatus.FAILED and call.permission)

        await until(is_refused)
    call = await call_of(calls, call_id)
    assert call
    assert call.permission
    assert (call.permission.rule, call.attempt) == ("erased", 1)
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_person_with_a_call_in_clear_is_not_erased_and_others_are(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    former = a_call(phone_number=NUMBER, number_digest=None, status=CallStatus.COMPLETED)
    await EventLog(bus_client, CALLS.name, source="test").append(call_created(former))
    async with running(nats_url, 1):
        (other,) = await ask(bus_client, request("other", OTHER_NUMBER))
        await until_dialing(calls, [other], 1)
        refused = await outcome_of(bus_client, ERASE)
        assert not refused.accepted
        assert "centralita seal" in refused.reasons[0]
        assert await erased(calls) is None
        erasing = asyncio.create_task(outcome_of(bus_client, PersonEraseRequested(number_digest=OTHER)))

        async def is_hanging_up() -> bool:
            call = await call_of(calls, other)
            return bool(call and call.hangup_reason)

        await until(is_hanging_up)
        await end(calls, other)
        assert (await erasing).accepted
        assert await erased(calls, OTHER)
