"""A call claims its number before it is dialled: one live call per number, caps across calls, and leaked claims."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.grants import Grants
from call_orchestrator.application.number_claims import RECHECK, NumberClaims
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.stored import load_call
from call_orchestrator.domain.calling_policy import CallingPolicy
from contracts import (
    AdmissionGranted,
    Call,
    CallPutOff,
    CallStatus,
    Campaign,
    CampaignChanged,
    CampaignTerms,
    DialRefused,
    Event,
    NumberChanged,
    NumberState,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.dial_terms import NO_DIAL_TERMS, DialTerms, OpenHours
from contracts.number_digests import NumberDigests
from contracts.number_state import DoNotCallEntry, LiveAttempt
from contracts.vocabulary import DoNotCallSource, Purpose

NUMBER = "+13055550123"
"""A number of Florida, where a person may be dialled three times in 24 hours."""
NOON = datetime(2030, 1, 15, 17, tzinfo=NOW.tzinfo)
DIGESTS = NumberDigests(b"test")
RULES = CallingPolicy.shipped()
LONGEST_ATTEMPT = timedelta(seconds=30 + 20 + 600)
"""Ring time, margin and talk time."""


@dataclass
class System:
    """Replicas of the orchestrator with one log of calls and one of numbers."""

    now: datetime = NOON
    log: FakeEventLog = field(default_factory=FakeEventLog)
    numbers: FakeEventLog = field(default_factory=FakeEventLog)
    timers: FakeTimers = field(default_factory=FakeTimers)
    dial_terms: DialTerms = NO_DIAL_TERMS
    """Those of the campaign, which each grant carries."""

    def __post_init__(self) -> None:
        self.log.now = self.numbers.now = lambda: self.now
        self.replicas = [self.replica(), self.replica()]

    def replica(self) -> CallService:
        policy = Policy(
            call_timeout=timedelta(seconds=30),
            max_retries=3,
            retry_delay=timedelta(minutes=1),
            max_talk=timedelta(minutes=10),
            dial_within=timedelta(days=1),
            allowed_countries=frozenset({"US"}),
            calling_policy=RULES,
        )
        numbers = Numbers(self.numbers, DIGESTS, RULES.longest_cap)
        claims = NumberClaims(numbers, self.log, self.timers, RULES)
        effects = Effects(self.timers, FakeQueue(), claims)
        return CallService(self.log, FakeRequests(), effects, policy, lambda: self.now, claims=claims)

    def waiting_call(self, **changes: object) -> Call:
        """Adds a call that waits for a slot."""
        call = a_call(phone_number=NUMBER, call_id=uuid4()).model_copy(
            update={
                "purpose": Purpose.SALES,
                "consent_at": NOW,
                "company": "Acme",
                "due_at": self.now,
                "is_queued": True,
                "deadline_at": self.now + timedelta(days=1),
                **changes,
            }
        )
        self.log.store(call_created(call))
        return call

    async def grant(self, call_id: UUID, replica: int = 0) -> Call:
        """Grants the call a slot and returns the call after it."""
        before = await self.call(call_id)
        grant = AdmissionGranted(
            call_id=call_id,
            campaign_id=before.campaign_id,
            attempt=before.attempt + 1,
            due_sequence=1,
            replay_from_sequence=1,
            dial_terms=self.dial_terms,
        )
        stored = self.log.store(grant)
        await Grants(self.replicas[replica], self.log, self.timers, lambda: self.now).carry_out(
            grant, sequence=stored.sequence, cause=stored.envelope
        )
        return await self.call(call_id)

    async def report(self, event: DialRefused | TelephonyStatusReported, replica: int = 0) -> Call:
        stored = self.log.store(event)
        await self.replicas[replica].handle(call_input(event, stored.envelope))
        return await self.call(event.call_id)

    async def call(self, call_id: UUID) -> Call:
        stored = await load_call(self.log, call_id)
        assert stored
        return stored.call

    async def number(self, phone_number: str = NUMBER) -> NumberState:
        last = await self.numbers.last(NumberChanged.subject_for(DIGESTS.of(phone_number)))
        assert last
        assert isinstance(last.event, NumberChanged)
        return last.event.number

    def store_number(self, **fields: object) -> None:
        number = NumberState.model_validate({"number_digest": DIGESTS.of(NUMBER), **fields})
        self.numbers.store(NumberChanged(number=number, occurred_at=self.now))


def busy(call: Call) -> TelephonyStatusReported:
    return TelephonyStatusReported(
        call_id=call.call_id, attempt=call.attempt, provider_call_id="CA1", status=TelephonyStatus.BUSY
    )


async def carry_out_late(system: System, call: Call, campaign: Campaign) -> Call:
    """Grants the call a slot, changes its campaign, and delivers the grant again, which no replica has carried out."""
    grant = AdmissionGranted(
        call_id=call.call_id, campaign_id=call.campaign_id, attempt=1, due_sequence=1, replay_from_sequence=1
    )
    stored = system.log.store(grant)
    system.log.store(CampaignChanged(campaign=campaign, occurred_at=system.now))
    await Grants(system.replicas[1], system.log, system.timers, lambda: system.now).carry_out(
        grant, sequence=stored.sequence, cause=stored.envelope, is_redelivered=True
    )
    return await system.call(call.call_id)


async def test_a_late_grant_keeps_the_hours_and_the_lists_that_its_campaign_has_now() -> None:
    system, terms = System(), CampaignTerms(do_not_call_lists=("robinson",))
    campaign = Campaign(campaign_id="reminders").created(NOW, terms).started(NOW)
    system.store_number(
        phone_number=NUMBER,
        do_not_call=(DoNotCallEntry(list_name="robinson", changed_at=NOON, source=DoNotCallSource.REQUEST),),
    )
    call = await carry_out_late(system, system.waiting_call(), campaign)
    assert call.permission
    assert (call.status, call.permission.rule) == (CallStatus.FAILED, "do_not_call")

    system = System()
    closed_now = OpenHours(days=("mon",), opens_at="09:00", closes_at="10:00")  # NOON is a Tuesday
    campaign = campaign.changed(CampaignTerms(weekly_hours=(closed_now,)))
    call = await carry_out_late(system, system.waiting_call(), campaign)
    assert call.permission
    assert (call.status, call.permission.rule) == (CallStatus.PENDING, "campaign_hours")


async def test_a_late_grant_of_a_paused_campaign_leaves_the_number_to_another_call() -> None:
    system = System()
    call = await carry_out_late(system, system.waiting_call(), Campaign(campaign_id="reminders").paused(NOW, None))
    assert (call.status, call.is_queued) == (CallStatus.PENDING, True)
    other = await system.grant(system.waiting_call(campaign_id="other").call_id)
    assert other.status is CallStatus.DIALING


async def test_a_second_call_to_the_number_waits_until_the_first_ends_at_the_latest() -> None:
    system = System()
    first, second = system.waiting_call(), system.waiting_call()
    dialing = await system.grant(first.call_id)
    waiting = await system.grant(second.call_id, replica=1)
    assert dialing.status is CallStatus.DIALING
    ends_at = NOON + LONGEST_ATTEMPT
    assert (waiting.status, waiting.is_queued, waiting.due_at) == (CallStatus.PENDING, False, ends_at)
    assert waiting.permission
    assert (waiting.permission.rule, waiting.permission.in_use_until) == ("number_in_use", ends_at)
    assert (await system.number()).live == LiveAttempt(
        call_id=first.call_id, attempt=1, grant_sequence=3, dialed_at=NOON
    )


async def test_the_end_of_the_attempt_stores_nothing_and_the_next_call_counts_the_dial() -> None:
    system = System()
    first, second = system.waiting_call(), system.waiting_call()
    await system.report(busy(await system.grant(first.call_id)), replica=1)
    assert len(system.numbers.stored) == 1
    system.now += timedelta(hours=1)
    assert (await system.grant(second.call_id)).status is CallStatus.DIALING
    number = await system.number()
    assert number.live
    assert (number.live.call_id, number.dialed_at) == (second.call_id, (NOON,))


async def test_an_attempt_that_did_not_reach_the_network_is_no_dial() -> None:
    system = System()
    first, second = system.waiting_call(), system.waiting_call()
    dialing = await system.grant(first.call_id)
    refused = DialRefused(call_id=dialing.call_id, attempt=1, is_permanent=False, reason="429")
    assert (await system.report(refused)).undialled_attempts == 1
    assert (await system.grant(second.call_id, replica=1)).status is CallStatus.DIALING
    assert (await system.number()).dialed_at == ()


async def test_the_cap_of_florida_counts_the_dials_of_all_campaigns() -> None:
    system = System()
    for hour in range(3):
        call = system.waiting_call(campaign_id=f"campaign-{hour}")
        dialing = await system.grant(call.call_id, replica=hour % 2)
        assert dialing.status is CallStatus.DIALING
        assert dialing.permission
        assert len(dialing.permission.dialed_at) == hour, "the dials that the cap counts are recorded"
        await system.report(busy(dialing))
        system.now += timedelta(hours=1)
    fourth = await system.grant(system.waiting_call(campaign_id="other").call_id)
    assert fourth.status is CallStatus.PENDING
    assert fourth.permission
    assert fourth.permission.rule == "frequency"
    assert "3" in fourth.permission.detail
    assert fourth.due_at == NOON + timedelta(days=1), "24 hours after the first of three"


async def test_a_listed_number_is_not_dialled_and_the_entry_is_recorded() -> None:
    system = System()
    call, other = system.waiting_call(campaign_id="spring"), system.waiting_call(campaign_id="autumn")
    entry = DoNotCallEntry(campaign_id="spring", changed_at=NOON, source=DoNotCallSource.REQUEST)
    system.store_number(do_not_call=(entry,), phone_number=NUMBER)
    ended = await system.grant(call.call_id)
    assert ended.status is CallStatus.FAILED
    assert ended.permission
    assert ended.permission.rule == "do_not_call"
    assert ended.permission.listing
    assert (ended.permission.listing.listed_at, ended.permission.listing.source) == (NOON, DoNotCallSource.REQUEST)
    assert "do-not-call list of the campaign spring" in (ended.reason or "")
    assert (await system.grant(other.call_id)).status is CallStatus.DIALING, "the list of another campaign"


async def test_a_number_on_a_named_list_is_not_dialled_in_a_campaign_that_names_the_list() -> None:
    system = System()
    system.dial_terms = DialTerms(do_not_call_lists=("customers", "vip"))
    entry = DoNotCallEntry(list_name="vip", changed_at=NOON, source=DoNotCallSource.IMPORT)
    system.store_number(do_not_call=(entry,), phone_number=NUMBER)
    ended = await system.grant(system.waiting_call().call_id)
    assert ended.permission
    assert ended.permission.listing
    assert (ended.permission.rule, ended.permission.listing.list_name) == ("do_not_call", "vip")
    assert "the do-not-call list vip since" in (ended.reason or "")
    system.dial_terms = DialTerms(do_not_call_lists=("customers",))
    assert (await system.grant(system.waiting_call().call_id)).status is CallStatus.DIALING


def live(call: Call, attempt: int = 1, grant_sequence: int = 1) -> LiveAttempt:
    return LiveAttempt(call_id=call.call_id, attempt=attempt, grant_sequence=grant_sequence, dialed_at=NOON)


@pytest.mark.parametrize(
    ("holder", "is_taken_over", "dials"),
    [
        (a_call(CallStatus.BUSY, call_id=uuid4(), phone_number=NUMBER), True, 1),
        (a_call(CallStatus.CANCELED, call_id=uuid4(), phone_number=NUMBER).model_copy(update={"attempt": 0}), True, 0),
        (a_call(CallStatus.DIALING, call_id=uuid4(), phone_number=NUMBER), False, 0),
        (a_call(CallStatus.PENDING, call_id=uuid4(), phone_number=NUMBER), False, 0),
        (a_call(CallStatus.DIALING, call_id=uuid4(), phone_number="+13055550199"), True, 1),
    ],
    ids=["ended", "never-dialled", "live", "about-to-begin", "changed-to-another-number"],
)
async def test_a_leaked_claim_is_taken_over_and_one_that_is_in_force_is_not(
    holder: Call, is_taken_over: bool, dials: int
) -> None:
    system = System()
    system.log.store(status_changed(holder))
    system.store_number(live=live(holder))
    after = await system.grant(system.waiting_call().call_id)
    assert (after.status is CallStatus.DIALING) is is_taken_over
    assert len((await system.number()).dialed_at) == dials
    if holder.status is CallStatus.PENDING:
        assert after.due_at == NOON + RECHECK


async def test_a_claim_of_an_archived_call_is_taken_over_and_counts_as_a_dial() -> None:
    """The log no longer has the call, so what became of its attempt is unknown."""
    system = System()
    system.store_number(live=live(a_call(call_id=uuid4())))
    assert (await system.grant(system.waiting_call().call_id)).status is CallStatus.DIALING
    assert (await system.number()).dialed_at == (NOON,)


async def test_a_grant_that_is_delivered_again_after_its_claim_dials() -> None:
    """The replica died between the claim and the decision on the call."""
    system = System()
    call = system.waiting_call()
    system.store_number(live=live(call, grant_sequence=2))
    assert (await system.grant(call.call_id)).status is CallStatus.DIALING


async def test_a_call_that_changes_between_claim_and_decision_is_not_dialled_and_leaves_no_claim() -> None:
    system = System()
    call = system.waiting_call()

    def cancel(event: Event) -> None:
        if event.event_name == "call.status_changed":
            system.log.before_append = lambda _: None
            canceled = call.model_copy(update={"status": CallStatus.CANCELED, "is_queued": False, "deadline_at": None})
            system.log.store(status_changed(canceled))

    system.log.before_append = cancel
    assert (await system.grant(call.call_id)).status is CallStatus.CANCELED
    number = await system.number()
    assert (number.live, number.dialed_at) == (None, ())


async def test_a_late_grant_neither_replaces_nor_releases_the_claim_of_a_newer_one() -> None:
    system = System()
    call = system.waiting_call()
    late = AdmissionGranted(call_id=call.call_id, campaign_id="c", attempt=1, due_sequence=1, replay_from_sequence=1)
    sequence = system.log.store(late).sequence
    system.log.store(call_created(call))  # a change of the call, which frees the slot of the first grant
    dialing = await system.grant(call.call_id)
    assert dialing.status is CallStatus.DIALING
    for is_redelivered in (False, True):
        await Grants(system.replicas[1], system.log, system.timers, lambda: system.now).carry_out(
            late, sequence=sequence, cause=an_envelope("late"), is_redelivered=is_redelivered
        )
    claim = (await system.number()).live
    assert claim
    assert claim.grant_sequence > sequence


async def test_a_request_to_a_listed_number_is_refused_with_the_entry() -> None:
    system = System()
    entry = DoNotCallEntry(changed_at=NOON, source=DoNotCallSource.OPT_OUT)
    system.store_number(do_not_call=(entry,), phone_number=NUMBER)
    claims = NumberClaims(Numbers(system.numbers, DIGESTS, timedelta(days=30)), system.log, system.timers, None)
    refused = await claims.refusal(NUMBER, "spring", NOON)
    assert refused
    assert refused.reason.startswith("phone_number: the number is on the do-not-call list of all campaigns since 2030")
    assert await claims.refusal("+13055550199", "spring", NOON) is None


@pytest.mark.parametrize("seed", range(40))
async def test_at_no_time_do_two_calls_dial_a_number_whatever_replicas_do(seed: int) -> None:
    """Two replicas with their memories carry out grants and ends of calls to two numbers in any order."""
    draw, system = random.Random(seed), System()
    ids = [
        system.waiting_call(phone_number=draw.choice((NUMBER, "+13055550199")), purpose=None).call_id for _ in range(6)
    ]
    for _ in range(60):
        call = await system.call(draw.choice(ids))
        replica = draw.randrange(2)
        if call.status.is_live:
            end: Callable[[Call], DialRefused | TelephonyStatusReported] = draw.choice((busy, undialled))
            await system.report(end(call), replica)
        elif call.is_queued:
            await system.grant(call.call_id, replica)
        elif call.status is CallStatus.PENDING:
            queued = {"is_queued": True, "due_at": system.now, "deadline_at": system.now + timedelta(days=1)}
            system.log.store(status_changed(call.model_copy(update=queued)))
        system.now += timedelta(seconds=draw.choice((0, 1, 90)))
        live_calls = [one for one in [await system.call(one) for one in ids] if one.status.is_live]
        assert len({one.phone_number for one in live_calls}) == len(live_calls)
        for one in live_calls:
            claim = (await system.number(one.phone_number)).live
            assert claim
            assert (claim.call_id, claim.attempt) == (one.call_id, one.attempt)
    assert system.log.events(CallPutOff) or len(system.numbers.stored) > 10


def undialled(call: Call) -> DialRefused:
    return DialRefused(call_id=call.call_id, attempt=call.attempt, is_permanent=False, reason="429")
