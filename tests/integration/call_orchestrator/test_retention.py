"""A person is erased once the data of all calls has been kept as long as their campaigns permit, on a real server."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.consumers import is_settled
from tests.builders.events import an_envelope
from tests.builders.policies import ANY_TIME_POLICY
from tests.builders.requests import request
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import call_of, end, outcome_of, running, until, until_dialing

from call_orchestrator.adapters.nats import contact_queue
from call_orchestrator.adapters.nats.contact_queue import NatsContactQueue
from call_orchestrator.adapters.nats.contacts import NatsContacts
from call_orchestrator.adapters.nats.retained_persons import NatsNumberStates
from call_orchestrator.application import failed_campaigns
from call_orchestrator.application.retention import Retention
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from contracts import (
    Call,
    CallCancelRequested,
    CallChanged,
    CallChangeRequested,
    CallCreated,
    CallRequested,
    CallStatus,
    CampaignContactsExpired,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignStartRequested,
    CommandOutcome,
    ContactAdded,
    ContactRefused,
    ContactRequested,
    ErasureReason,
    NumberBlockRequested,
    NumberChanged,
    NumberState,
    PersonErased,
    PersonEraseRequested,
    RequestedTerms,
    call_id_of,
    outcome_subject,
)
from contracts.callees import callee_of
from contracts.consumers import ORCHESTRATOR_FACTS, ORCHESTRATOR_REQUESTS
from contracts.contacts import group_of, waiting_contact
from contracts.filters import call_state_filter
from contracts.number_digests import NumberDigests
from contracts.number_state import LiveAttempt
from contracts.personal import ERASED, PERSON_HEADER, with_sealed
from contracts.streams import CONTACTS, KEYS, NUMBERS, REQUESTS

NUMBER, OTHER_NUMBER = "+12125550123", "+12125550124"
DIGESTS = NumberDigests(b64decode(TEST_KEYS["NUMBER_DIGEST_KEY"]))
PERSON, OTHER = DIGESTS.of(NUMBER), DIGESTS.of(OTHER_NUMBER)
DAY = timedelta(days=1)
LIMITS: dict[str, object] = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}


class Installation:
    """The orchestrator's streams, and a pass of the retention at a time of the test."""

    def __init__(self, client: Client, calls: EventLog, keyring: Keyring) -> None:
        self.client, self.calls = client, calls
        self.numbers = EventLog(client, NUMBERS.name, source="test", keyring=keyring)
        self.requests = EventLog(client, REQUESTS.name, source="call-orchestrator", keyring=keyring)
        self.contacts = EventLog(client, CONTACTS.name, source="test", keyring=keyring)
        self.states = NatsNumberStates(client, self.numbers, self.requests)

    async def create(self, campaign_id: str, retention_days: int | None, *, is_started: bool = True) -> None:
        terms = RequestedTerms(script_template="Hello.", language="en", retention_days=retention_days)
        assert (await outcome_of(self.client, CampaignCreateRequested(campaign_id=campaign_id, terms=terms))).accepted
        if is_started:
            assert (await outcome_of(self.client, CampaignStartRequested(campaign_id=campaign_id))).accepted

    async def ask(self, one: CallRequested) -> UUID:
        assert (await outcome_of(self.client, one)).accepted
        return call_id_of(one.request_id or "")

    async def busy(self, one: CallRequested) -> Call:
        """Makes a call whose line is busy, and returns it when the effects of its end are applied."""
        call_id = await self.ask(one)
        await until_dialing(self.calls, [call_id], 1)
        await end(self.calls, call_id)

        async def are_effects_applied() -> bool:
            is_busy = (await self.call(call_id)).status is CallStatus.BUSY
            return is_busy and await is_settled(self.client, ORCHESTRATOR_FACTS)

        await until(are_effects_applied)
        return await self.call(call_id)

    async def call(self, call_id: UUID) -> Call:
        call = await call_of(self.calls, call_id)
        assert call
        return call

    async def number(self, person: str = PERSON) -> NumberState:
        stored = await self.numbers.last(NumberChanged.subject_for(person))
        return (
            stored.event.number if stored and isinstance(stored.event, NumberChanged) else NumberState(number_digest="")
        )

    async def block(self) -> None:
        """Lists the number, so that requests for calls to it are refused."""
        block = NumberBlockRequested(number_digest=PERSON, phone_number=NUMBER)
        assert (await outcome_of(self.client, block)).accepted

    async def add_contact(self, campaign_id: str, number: str = NUMBER, contact_id: str = "c-1") -> None:
        """Adds a contact as edge does; its key is made."""
        request = ContactRequested(campaign_id=campaign_id, contact_id=contact_id, phone_number=number)
        callee = callee_of(number)
        contact = waiting_contact(request, callee, DIGESTS, datetime.now(UTC))
        await NatsContacts(self.contacts).add(contact, group_of(campaign_id, callee), an_envelope(str(uuid4())))

    async def expire(self, campaign_id: str) -> datetime:
        """Finishes the campaign, and returns when its contacts were counted, once they are removed."""
        assert (await outcome_of(self.client, CampaignFinishRequested(campaign_id=campaign_id))).accepted
        filter = ContactAdded.subjects(campaign_id)

        async def is_removed() -> bool:
            info = await self.client.jetstream().stream_info(CONTACTS.name, subjects_filter=filter)
            return not info.state.subjects

        await until(is_removed)
        stored = await self.calls.last(f"{CampaignContactsExpired.event_name}.{campaign_id}")
        assert stored
        assert isinstance(stored.event, CampaignContactsExpired)
        return stored.event.occurred_at

    async def has_key(self, person: str = PERSON) -> bool:
        try:
            message = await self.client.jetstream().get_last_msg(KEYS.name, KEYS.subjects[0].replace("*", person))
        except NotFoundError:  # the empty message that takes its place is not yet stored
            return False
        return bool(message.data)

    async def send_sealed(self, one: CallRequested | CallChangeRequested) -> tuple[datetime, CommandOutcome]:
        """Sends a request as edge does. Returns when the server stored it, and its outcome."""
        outcomes = await self.client.subscribe(outcome_subject(id := str(uuid4())))
        stored = await self.requests.append(one, event_id=id, person=PERSON)
        outcome = CommandOutcome.model_validate_json((await outcomes.next_msg(timeout=60)).data)
        message = await self.client.jetstream().get_msg(REQUESTS.name, stored.sequence)
        assert message.time
        return message.time, outcome

    async def is_kept_until(self, instant: datetime) -> bool:
        """Compares milliseconds: the ways to read the time of a message differ in the last digit of a microsecond."""
        kept_until = (await self.number()).kept_until
        return kept_until is not None and abs(kept_until - instant) < timedelta(milliseconds=1)

    async def until_handled(self) -> None:
        """Returns when every request is acknowledged."""
        await until(lambda: is_settled(self.client, ORCHESTRATOR_REQUESTS))

    async def check(self, at: datetime) -> int:
        return await Retention(self.states, self.states, lambda: at).check()

    async def erased(self, person: str = PERSON) -> PersonErased | None:
        stored = await self.calls.last(PersonErased.subject_for(person))
        return stored.event if stored and isinstance(stored.event, PersonErased) else None

    async def until_erased(self, person: str = PERSON) -> PersonErased:
        async def is_erased() -> bool:
            return await self.erased(person) is not None

        await until(is_erased)
        found = await self.erased(person)
        assert found
        return found


@pytest.fixture
def installation(bus_client: Client, calls: EventLog, keyring: Keyring) -> Installation:
    return Installation(bus_client, calls, keyring)


async def test_a_person_is_erased_after_the_retention_of_the_last_call_and_others_stay(
    nats_url: str, installation: Installation
) -> None:
    async with running(nats_url, 2, retention_days=30, **LIMITS):
        first = await installation.busy(request("first"))
        last = await installation.busy(request("last"))
        other = await installation.busy(request("other", OTHER_NUMBER, campaign_id="autumn"))
        assert first.ended_at
        assert last.ended_at
        assert other.ended_at
        assert (await installation.number()).kept_until == last.ended_at + 30 * DAY
        assert await installation.check(last.ended_at + 30 * DAY - timedelta(microseconds=1)) == 0
        assert await installation.check(last.ended_at + 30 * DAY) == 1
        certificate = await installation.until_erased()
        assert (certificate.reason, certificate.had_key) == (ErasureReason.RETENTION, True)
        assert [(await installation.call(one.call_id)).phone_number for one in (first, last, other)] == [
            ERASED,
            ERASED,
            OTHER_NUMBER,
        ]
        assert await installation.check(last.ended_at + 31 * DAY) == 1, "the other one"
        await installation.until_erased(OTHER)
        assert await installation.check(last.ended_at + 60 * DAY) == 0
    verification = await verify(await from_streams(installation.client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_the_longest_retention_of_the_campaigns_of_a_person_counts(
    nats_url: str, installation: Installation
) -> None:
    async with running(nats_url, 1, **LIMITS):
        for campaign_id, days in (("long", 90), ("short", 7), ("without", None)):
            await installation.create(campaign_id, days)
        calls = [
            await installation.busy(request(campaign_id, campaign_id=campaign_id))
            for campaign_id in ("long", "short", "without")
        ]
        assert [call.retention_days for call in calls] == [90, 7, None]
        assert calls[0].ended_at
        assert (await installation.number()).kept_until == calls[0].ended_at + 90 * DAY


async def test_a_call_that_was_never_dialled_is_kept_as_long(nats_url: str, installation: Installation) -> None:
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        call_id = await installation.ask(request("later", scheduled_at=datetime.now(UTC) + 3 * DAY))
        assert (await outcome_of(installation.client, CallCancelRequested(call_id=call_id))).accepted

        async def is_noted() -> bool:
            return (await installation.number()).kept_until is not None

        await until(is_noted)
        ended_at = (await installation.call(call_id)).ended_at
        assert ended_at
        assert (await installation.number()).kept_until == ended_at + 30 * DAY


async def test_a_call_that_ends_between_two_attempts_is_erased_after_its_retention(
    nats_url: str, installation: Installation
) -> None:
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        call_id = await installation.ask(request("one", max_retries=3, retry_delay_seconds=3600))
        await until_dialing(installation.calls, [call_id], 1)
        await end(installation.calls, call_id)

        async def waits_for_retry() -> bool:
            call = await installation.call(call_id)
            return (call.status, call.attempt) == (CallStatus.PENDING, 1)

        await until(waits_for_retry)
        assert (await outcome_of(installation.client, CallCancelRequested(call_id=call_id))).accepted

        async def is_noted() -> bool:
            return (await installation.number()).kept_until is not None

        await until(is_noted)
        number, call = await installation.number(), await installation.call(call_id)
        assert (number.live, len(number.dialed_at)) == (None, 1)
        assert call.ended_at
        assert await installation.check(call.ended_at + 30 * DAY) == 1
        await installation.until_erased()
        assert (await installation.call(call_id)).phone_number == ERASED


async def test_a_claim_that_was_never_released_does_not_prevent_the_erasure(
    nats_url: str, installation: Installation
) -> None:
    """The grant of an attempt that never began may be a dead letter."""
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        call = await installation.busy(request("first"))
        number = await installation.number()
        assert number.kept_until
        claim = LiveAttempt(call_id=call.call_id, attempt=2, grant_sequence=1, dialed_at=number.kept_until)
        claimed = NumberChanged(number=number.claimed(claim), occurred_at=number.kept_until)
        await installation.numbers.append(claimed)
        assert await installation.check(number.kept_until) == 1
        await installation.until_erased()
        assert (await installation.call(call.call_id)).phone_number == ERASED


async def test_the_former_number_of_a_call_is_kept_from_the_change(nats_url: str, installation: Installation) -> None:
    later = datetime.now(UTC) + 3 * DAY
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        call_id = await installation.ask(request("one", scheduled_at=later))
        change = CallChangeRequested(call_id=call_id, phone_number=OTHER_NUMBER)
        assert (await outcome_of(installation.client, change)).accepted
        changed_at = (await installation.call(call_id)).number_changed_at
        assert changed_at
        assert (await installation.number()).kept_until == changed_at + 30 * DAY
        assert (await installation.number(OTHER)).kept_until is None, "the call is open"
        assert await installation.check(changed_at + 30 * DAY) == 1
        await installation.until_erased()
        created, changed = await installation.calls.read([call_state_filter(call_id)])
        assert isinstance(created.event, CallCreated)
        assert isinstance(changed.event, CallChanged)
        assert (created.event.call.phone_number, changed.event.call.phone_number) == (ERASED, OTHER_NUMBER)


async def test_each_of_the_numbers_that_two_waiting_changes_replace_is_kept(
    nats_url: str, installation: Installation
) -> None:
    third = "+12125550125"
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        call_id = await installation.ask(request("one", scheduled_at=datetime.now(UTC) + 3 * DAY))
    changes = [CallChangeRequested(call_id=call_id, phone_number=number) for number in (OTHER_NUMBER, third)]
    for change in changes:
        await installation.client.jetstream().publish(change.subject, change.body())
    async with running(nats_url, 1, retention_days=30, **LIMITS):

        async def are_noted() -> bool:
            return all([(await installation.number(person)).kept_until for person in (PERSON, OTHER)])

        await until(are_noted)
    assert (await installation.number(DIGESTS.of(third))).kept_until is None, "the call is open"


async def test_a_sealed_request_that_is_refused_is_kept_as_long(nats_url: str, installation: Installation) -> None:
    """It stays in REQUESTS under the key of its person, and no call ends."""
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        call_id = await installation.ask(request("other", OTHER_NUMBER, scheduled_at=datetime.now(UTC) + 3 * DAY))
        await installation.block()
        refused = request("refused")
        change = CallChangeRequested(call_id=call_id, phone_number=NUMBER, retention_days=90)
        requested_at, outcome = await installation.send_sealed(refused)
        assert not outcome.accepted
        await until(lambda: installation.is_kept_until(requested_at + 30 * DAY))
        changed_at, outcome = await installation.send_sealed(change)
        assert not outcome.accepted
        await until(lambda: installation.is_kept_until(changed_at + 90 * DAY))
        await installation.create("long", 90)
        requested_at, outcome = await installation.send_sealed(request("of-campaign", campaign_id="long"))
        assert not outcome.accepted
        await until(lambda: installation.is_kept_until(requested_at + 90 * DAY))
        kept_until = (await installation.number()).kept_until
        assert kept_until
        assert await installation.check(kept_until - timedelta(microseconds=1)) == 0
        assert await installation.check(kept_until) == 1
        await installation.until_erased()
        stored = [one.event for one in await installation.requests.read([CallRequested.subjects()])]
        assert [one.phone_number for one in stored if isinstance(one, CallRequested)] == [ERASED, ERASED]
    verification = await verify(await from_streams(installation.client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_request_that_only_claims_to_be_sealed_neither_begins_nor_extends_the_retention(
    nats_url: str, installation: Installation
) -> None:
    """Its sender has no keys, and could have a person erased so."""
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        await installation.block()
        forged = request("forged", retention_days=1)
        body = with_sealed(forged.body(), bytes(64))
        await installation.client.jetstream().publish(forged.subject, body, headers={PERSON_HEADER: PERSON})
        await installation.until_handled()
        assert (await installation.number()).kept_until is None


async def test_without_a_retention_nothing_is_noted_and_nothing_is_erased(
    nats_url: str, installation: Installation
) -> None:
    async with running(nats_url, 1, **LIMITS):
        await installation.busy(request("first"))
        assert (await installation.number()).kept_until is None
        assert await installation.check(datetime.now(UTC) + 3_650 * DAY) == 0


async def test_an_open_call_and_a_later_end_prevent_the_erasure(nats_url: str, installation: Installation) -> None:
    async with running(nats_url, 2, retention_days=30, **LIMITS):
        first = await installation.busy(request("first"))
        assert first.ended_at
        scheduled = await installation.ask(request("open", scheduled_at=datetime.now(UTC) + 3 * DAY))
        command = PersonEraseRequested(
            number_digest=PERSON, reason=ErasureReason.RETENTION, kept_until=first.ended_at + 30 * DAY
        )
        refused = await outcome_of(installation.client, command)
        assert (refused.accepted, "is open" in refused.reasons[0]) == (False, True)
        assert (await installation.call(scheduled)).status is CallStatus.PENDING
        assert (await outcome_of(installation.client, CallCancelRequested(call_id=scheduled))).accepted

        async def is_kept_longer() -> bool:
            kept_until = (await installation.number()).kept_until
            return kept_until is not None and command.kept_until is not None and kept_until > command.kept_until

        await until(is_kept_longer)
        refused = await outcome_of(installation.client, command)
        assert (refused.accepted, "kept longer" in refused.reasons[0]) == (False, True)
        assert await installation.erased() is None
        assert (await installation.call(first.call_id)).phone_number == NUMBER


async def test_passes_of_several_replicas_erase_a_person_once(nats_url: str, installation: Installation) -> None:
    async with running(nats_url, 2, retention_days=1, **LIMITS):
        call = await installation.busy(request("first"))
        assert call.ended_at
        for _ in range(3):
            await installation.check(call.ended_at + DAY)
        await installation.until_erased()
        command = PersonEraseRequested(
            number_digest=PERSON, reason=ErasureReason.RETENTION, kept_until=call.ended_at + DAY
        )
        assert not (await outcome_of(installation.client, command)).accepted
    found = await installation.calls.read([PersonErased.subject_for(PERSON)])
    assert len(found) == 1


async def test_the_state_of_a_number_expires_only_after_the_erasure(nats_url: str, installation: Installation) -> None:
    js = installation.client.jetstream()

    async def ttl() -> str | None:
        message = await js.get_last_msg(NUMBERS.name, NumberChanged.subject_for(PERSON))
        return (message.headers or {}).get("Nats-TTL")

    async with running(nats_url, 1, retention_days=1, **LIMITS):
        call = await installation.busy(request("first"))
        assert call.ended_at
        assert await ttl() is None
        await installation.check(call.ended_at + DAY)
        await installation.until_erased()
        assert await ttl() is not None


async def test_a_contact_that_was_refused_is_kept_as_long_and_then_its_key_is_destroyed(
    nats_url: str, installation: Installation
) -> None:
    async with running(nats_url, 2, retention_days=90, **LIMITS):
        await installation.create("spring", 30)
        await installation.block()
        await installation.add_contact("spring")

        async def is_noted() -> bool:
            return (await installation.number()).kept_until is not None

        await until(is_noted)
        stored = await installation.calls.last(f"{ContactRefused.event_name}.*")
        assert stored
        assert isinstance(stored.event, ContactRefused)
        kept_until = (await installation.number()).kept_until
        assert kept_until
        assert timedelta() <= kept_until - (stored.event.refused_at + 30 * DAY) < timedelta(hours=1)
        assert await installation.check(kept_until - timedelta(seconds=1)) == 0
        assert await installation.has_key()
        assert await installation.check(kept_until) == 1
        assert (await installation.until_erased()).had_key
        assert not await installation.has_key()


async def test_contacts_that_expire_with_their_campaign_are_kept_as_long_and_then_their_keys_are_destroyed(
    nats_url: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of them, in pages of two. The first removal is interrupted after it has noted a page."""
    monkeypatch.setattr(contact_queue, "PERSONS_PAGE", 2)
    monkeypatch.setattr(failed_campaigns, "FAILED", timedelta(milliseconds=100))
    numbers = [NUMBER, OTHER_NUMBER, "+12125550125"]
    remove, removed = NatsContactQueue.remove, list[int]()

    async def interrupted(self: NatsContactQueue, campaign_id: str, until_sequence: int) -> None:
        removed.append(until_sequence)
        if len(removed) == 1:
            raise RuntimeError("the replica dies")
        await remove(self, campaign_id, until_sequence)

    monkeypatch.setattr(NatsContactQueue, "remove", interrupted)
    async with running(nats_url, 1, **LIMITS):
        await installation.create("spring", 30, is_started=False)
        for index, number in enumerate(numbers):
            await installation.add_contact("spring", number, f"c-{index}")
        expired_at = await installation.expire("spring")
        for number in numbers:
            assert (await installation.number(DIGESTS.of(number))).kept_until == expired_at + 30 * DAY
        assert removed[0] == removed[1]
        assert len(await installation.numbers.read([f"{NumberChanged.event_name}.*"])) == len(numbers), "noted once"
        assert await installation.check(expired_at + 30 * DAY) == len(numbers)
        for number in numbers:
            await installation.until_erased(DIGESTS.of(number))
            assert not await installation.has_key(DIGESTS.of(number))


async def test_an_expired_contact_destroys_no_key_that_another_contact_or_call_still_needs(
    nats_url: str, installation: Installation
) -> None:
    async with running(nats_url, 1, retention_days=1, **LIMITS):
        for campaign_id in ("spring", "fall"):
            await installation.create(campaign_id, None, is_started=False)
        await installation.add_contact("spring")
        await installation.add_contact("fall")
        await installation.add_contact("spring", OTHER_NUMBER, "c-2")
        scheduled_at = datetime.now(UTC) + 3 * DAY
        one = request("later", phone_number=OTHER_NUMBER, scheduled_at=scheduled_at)
        call_id = await installation.ask(one)
        expired_at = await installation.expire("spring")
        for person in (PERSON, OTHER):
            command = PersonEraseRequested(
                number_digest=person, reason=ErasureReason.RETENTION, kept_until=expired_at + DAY
            )
            refused = await outcome_of(installation.client, command)
            assert (refused.accepted, "is open, or will be created" in refused.reasons[0]) == (False, True)
            assert await installation.has_key(person)
        assert (await installation.call(call_id)).phone_number == OTHER_NUMBER


async def test_a_contact_that_is_added_again_after_its_erasure_is_kept_as_long(
    nats_url: str, installation: Installation
) -> None:
    """Its call has ended before, so no further call of the person ends."""
    async with running(nats_url, 1, retention_days=30, **LIMITS):
        await installation.create("spring", None)
        call = await installation.busy(request("spring:c-1", campaign_id="spring", contact_id="c-1"))
        assert (await outcome_of(installation.client, PersonEraseRequested(number_digest=PERSON))).accepted
        assert not await installation.has_key()
        await installation.add_contact("spring")

        async def is_noted() -> bool:
            return (await installation.number()).kept_until is not None

        await until(is_noted)
        assert await installation.has_key()
        kept_until = (await installation.number()).kept_until
        assert kept_until
        assert call.ended_at
        assert kept_until > call.ended_at + 30 * DAY
        await installation.check(kept_until)

        async def is_destroyed() -> bool:
            return not await installation.has_key()

        await until(is_destroyed)


async def test_without_a_retention_contacts_are_removed_without_being_read(
    nats_url: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(NatsContactQueue, "persons")
    async with running(nats_url, 1, **LIMITS):
        await installation.create("spring", None, is_started=False)
        await installation.add_contact("spring")
        await installation.expire("spring")
        assert await installation.has_key()
    assert await installation.numbers.read([f"{NumberChanged.event_name}.*"]) == []
