"""A replica decides on what it appended last without a read, and a stale call costs one conflict."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.grants import Grants
from call_orchestrator.application.recent_calls import MAX_RECENT_CALLS, UNUSED_AFTER_CONFLICT, RecentCalls
from call_orchestrator.application.stored import StoredCall
from contracts import (
    AdmissionGranted,
    CallDecision,
    CallRequested,
    CallStatus,
    TelephonyStatus,
    TelephonyStatusReported,
    call_id_of,
)
from contracts.filters import call_state_filter

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=0,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)
CALL_ID = call_id_of("request-1")
LOADED = call_state_filter(CALL_ID)


@dataclass
class Replica:
    """One replica on a log that others share. `appends`: how often it tried to append a decision."""

    log: FakeEventLog = field(default_factory=FakeEventLog)
    now: datetime = NOW
    appends: int = 0
    reconnections: int = 0

    def __post_init__(self) -> None:
        effects = Effects(FakeTimers(), FakeQueue())
        self.calls = CallService(
            self.log,
            FakeRequests(),
            effects,
            POLICY,
            now=lambda: self.now,
            reconnections=lambda: self.reconnections,
        )
        self.log.before_append = self._count
        self.log.now = lambda: self.now

    def _count(self, _: object) -> None:
        self.appends += 1

    async def request(self) -> None:
        request = CallRequested(
            request_id="request-1",
            campaign_id="reminders",
            contact_id="contact-1",
            phone_number="+12125550123",
            script_template="Hello.",
        )
        await self.calls.handle(call_input(request, an_envelope("request"), sequence=1))

    async def grant(self) -> None:
        grant = AdmissionGranted(
            call_id=CALL_ID, campaign_id="reminders", attempt=1, due_sequence=1, replay_from_sequence=1
        )
        stored = self.log.store(grant)
        await Grants(self.calls, self.log, FakeTimers(), lambda: self.now).carry_out(
            grant, sequence=stored.sequence, cause=stored.envelope
        )

    async def report(self, status: TelephonyStatus, id: str, *, is_redelivered: bool = False) -> None:
        event = TelephonyStatusReported(call_id=CALL_ID, attempt=1, provider_call_id="CA1", status=status)
        await self.calls.handle(call_input(event, an_envelope(id), is_redelivered=is_redelivered))

    @property
    def statuses(self) -> list[CallStatus]:
        return [event.call.status for event in self.log.events() if isinstance(event, CallDecision)]


async def dialing() -> Replica:
    replica = Replica()
    await replica.request()
    await replica.grant()
    replica.log.reads.clear()
    replica.appends = 0
    return replica


async def test_a_replica_carries_out_an_attempt_without_reads_of_its_call() -> None:
    replica = Replica()
    await replica.request()
    await replica.grant()
    await replica.report(TelephonyStatus.RINGING, "ringing")
    await replica.report(TelephonyStatus.NO_ANSWER, "no-answer")
    assert replica.statuses == ["pending", "dialing", "ringing", "no_answer"]
    assert replica.log.reads == []


async def test_after_a_reconnection_the_calls_are_read_again() -> None:
    replica = await dialing()
    replica.reconnections = 1
    await replica.report(TelephonyStatus.RINGING, "ringing")
    assert replica.log.reads == [LOADED]
    await replica.report(TelephonyStatus.NO_ANSWER, "no-answer")
    assert replica.log.reads == [LOADED]


async def test_a_stale_call_costs_one_conflict_and_is_decided_on_what_the_log_has() -> None:
    replica = await dialing()
    replica.log.store(status_changed(a_call(CallStatus.RINGING, call_id=CALL_ID, attempt=1, max_retries=0)))
    await replica.report(TelephonyStatus.NO_ANSWER, "no-answer")
    assert replica.statuses == ["pending", "dialing", "ringing", "no_answer"]
    assert replica.appends == 2
    last = replica.log.stored[-1].event
    assert isinstance(last, CallDecision)
    assert getattr(last, "previous", None) is CallStatus.RINGING


async def test_an_input_that_a_stale_call_ignores_is_decided_on_what_the_log_has() -> None:
    replica = Replica()
    await replica.request()
    replica.log.store(status_changed(a_call(CallStatus.DIALING, call_id=CALL_ID, attempt=1)))
    await replica.report(TelephonyStatus.RINGING, "ringing")
    assert replica.statuses == ["pending", "dialing", "ringing"]
    assert replica.log.reads == [LOADED]


async def test_a_redelivered_input_is_decided_on_what_the_log_has() -> None:
    replica = await dialing()
    await replica.report(TelephonyStatus.RINGING, "ringing", is_redelivered=True)
    assert replica.log.reads == [LOADED]
    await replica.report(TelephonyStatus.RINGING, "ringing", is_redelivered=True)
    assert replica.statuses == ["pending", "dialing", "ringing"]


async def test_after_a_conflict_with_another_replica_calls_are_loaded_for_a_while() -> None:
    replica = await dialing()
    replica.log.store(status_changed(a_call(CallStatus.DIALING, call_id=CALL_ID, attempt=1)))
    await replica.report(TelephonyStatus.RINGING, "ringing")
    replica.log.reads.clear()
    await replica.report(TelephonyStatus.IN_PROGRESS, "answered")
    assert replica.log.reads == [LOADED]
    replica.now += UNUSED_AFTER_CONFLICT
    await replica.report(TelephonyStatus.NO_ANSWER, "no-answer")
    assert replica.log.reads == [LOADED], "not read a second time"


def a_stored_call(sequence: int, status: CallStatus = CallStatus.DIALING, *, call_id: UUID = CALL_ID) -> StoredCall:
    call = a_call(status, attempt=1, call_id=call_id)
    return StoredCall(status_changed(call), sequence, an_envelope("event"))


def test_an_older_event_does_not_replace_a_newer_one_and_an_ended_call_is_forgotten() -> None:
    recent, newer = RecentCalls(lambda: 0), a_stored_call(7)
    recent.note(newer)
    recent.note(a_stored_call(5))
    assert recent.get(newer.call.call_id, NOW) is newer
    recent.note(a_stored_call(8, CallStatus.NO_ANSWER))
    assert recent.get(newer.call.call_id, NOW) is None


def test_a_conflict_between_two_inputs_of_one_replica_does_not_prevent_the_use_of_recent_calls() -> None:
    recent, used, appended = RecentCalls(lambda: 0), a_stored_call(7), a_stored_call(9)
    recent.note(used)
    recent.note(appended)
    recent.note_conflict(used, NOW)
    assert recent.get(used.call.call_id, NOW) is appended


@pytest.mark.parametrize("excess", [1, 3])
def test_the_number_of_recent_calls_is_limited(excess: int) -> None:
    recent = RecentCalls(lambda: 0)
    calls = [a_stored_call(sequence, call_id=uuid4()) for sequence in range(1, MAX_RECENT_CALLS + excess + 1)]
    for stored in calls:
        recent.note(stored)
    known = [recent.get(stored.call.call_id, NOW) is stored for stored in calls]
    assert known == [False] * excess + [True] * MAX_RECENT_CALLS
