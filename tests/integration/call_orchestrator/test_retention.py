"""A person is erased once the data of all calls has been kept as long as their campaigns permit, on a real server."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY
from tests.builders.requests import request
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import call_of, end, outcome_of, running, until, until_dialing

from call_orchestrator.adapters.nats.retained_persons import NatsNumberStates
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
    CampaignCreateRequested,
    CampaignStartRequested,
    CommandOutcome,
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
from contracts.consumers import ORCHESTRATOR_FACTS, ORCHESTRATOR_REQUESTS
from contracts.filters import call_state_filter
from contracts.number_digests import NumberDigests
from contracts.number_state import LiveAttempt
from contracts.personal import ERASED, PERSON_HEADER, with_sealed
from contracts.streams import CALLS, NUMBERS, REQUESTS

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
        self.states = NatsNumberStates(client, self.numbers, self.requests)

    async def create(self, campaign_id: str, retention_days: int | None) -> None:
        terms = RequestedTerms(script_template="Hello.", language="en", retention_days=retention_days)
        for command in (
            CampaignCreateRequested(campaign_id=campaign_id, terms=terms),
            CampaignStartRequested(campaign_id=campaign_id),
        ):
            assert (await outcome_of(self.client, command)).accepted

    async def ask(self, one: CallRequested) -> UUID:
        assert (await outcome_of(self.client, one)).accepted
        return call_id_of(one.request_id or "")

    async def busy(self, one: CallRequested) -> Call:
        """Makes a call whose line is busy, and returns it when the effects of its end are applied."""
        call_id = await self.ask(one)
        await until_dialing(self.calls, [call_id], 1)
        await end(self.calls, call_id)

        async def are_effects_applied() -> bool:
            info = await self.client.jetstream().consumer_info(CALLS.name, ORCHESTRATOR_FACTS.name)
            is_handled = not (info.num_pending or info.num_ack_pending)
            return is_handled and (await self.call(call_id)).status is CallStatus.BUSY

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

    async def send_sealed(self, one: CallRequested | CallChangeRequested) -> tuple[datetime, CommandOutcome]:
        """Sends a request as edge does. Returns when the server stored it, and its outcome."""
        outcomes = await self.client.subscribe(outcome_subject(id := str(uuid4())))
        stored = await self.requests.append(one, event_id=id, person=PERSON)
        outcome = CommandOutcome.model_validate_json((await outcomes.next_msg(timeout=20)).data)
        message = await self.client.jetstream().get_msg(REQUESTS.name, stored.sequence)
        assert message.time
        return message.time, outcome

    async def is_kept_until(self, instant: datetime) -> bool:
        """Compares milliseconds: the ways to read the time of a message differ in the last digit of a microsecond."""
        kept_until = (await self.number()).kept_until
        return kept_until is not None and abs(kept_until - instant) < timedelta(milliseconds=1)

    async def until_handled(self) -> None:
        """Returns when every request is acknowledged."""

        async def is_handled() -> bool:
            info = await self.client.jetstream().consumer_info(REQUESTS.name, ORCHESTRATOR_REQUESTS.name)
            return not (info.num_pending or info.num_ack_pending)

        await until(is_handled)

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
