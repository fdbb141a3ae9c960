"""A grant leads to a dial, or its slot is released."""

from datetime import timedelta

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.grants import Grants, StaleRead
from contracts import AdmissionGranted, AdmissionReleased, Call, CallChanged, CallDecision, CallDue, CallStatus, Event
from contracts.filters import call_state_filter

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=3,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)
QUEUED = a_call(is_queued=True, deadline_at=NOW + timedelta(days=1))
GRANT = AdmissionGranted(
    call_id=QUEUED.call_id, campaign_id="reminders", attempt=1, due_sequence=2, replay_from_sequence=1
)


def log_of(call: Call) -> FakeEventLog:
    """A log in which the call is due at sequence 2 and its slot is granted at sequence 3."""
    return FakeEventLog.of(call_created(a_call()), CallDue(call=call, occurred_at=NOW), GRANT)


async def carry_out(
    log: FakeEventLog, *, sequence: int = 3, is_redelivered: bool = False, timers: FakeTimers | None = None
) -> None:
    timers = timers or FakeTimers()
    calls = CallService(log, FakeRequests(), Effects(timers, FakeQueue()), POLICY, now=lambda: NOW)
    grants = Grants(calls, log, timers)
    await grants.carry_out(GRANT, sequence=sequence, cause=an_envelope("grant-1"), is_redelivered=is_redelivered)


def statuses(log: FakeEventLog) -> list[CallStatus]:
    return [event.call.status for event in log.events() if isinstance(event, CallDecision)]


async def test_a_waiting_call_is_dialled_once_however_often_the_grant_is_delivered() -> None:
    log = log_of(QUEUED)
    await carry_out(log)
    await carry_out(log, is_redelivered=True)
    assert statuses(log) == [CallStatus.PENDING, CallStatus.PENDING, CallStatus.DIALING]


async def test_a_grant_reads_the_call_once_and_the_call_carries_its_sequence() -> None:
    log = log_of(QUEUED)
    await carry_out(log)
    assert log.reads == [call_state_filter(QUEUED.call_id)]
    dialing = log.stored[-1].event
    assert isinstance(dialing, CallDecision)
    assert dialing.call.granted_sequence == 3


async def test_the_slot_of_a_call_that_no_longer_waits_is_released_once() -> None:
    log = FakeEventLog.of(call_created(a_call()), status_changed(a_call(CallStatus.CANCELED)), GRANT)
    await carry_out(log)
    await carry_out(log, is_redelivered=True)
    released = [event for event in log.events() if isinstance(event, AdmissionReleased)]
    assert released == [AdmissionReleased(call_id=QUEUED.call_id, attempt=1, grant_sequence=3)]


async def test_a_live_call_keeps_its_slot() -> None:
    log = FakeEventLog.of(call_created(a_call()), status_changed(a_call(CallStatus.DIALING)), GRANT)
    await carry_out(log)
    assert not [event for event in log.events() if isinstance(event, AdmissionReleased)]


async def test_a_grant_is_retried_later_when_the_server_lags_behind_it() -> None:
    with pytest.raises(StaleRead):
        await carry_out(FakeEventLog.of(call_created(a_call()), GRANT), sequence=2)


async def test_a_grant_whose_slot_a_later_event_has_freed_does_not_dial() -> None:
    log = log_of(QUEUED)
    changed = log.store(CallChanged(call=QUEUED, occurred_at=NOW, changed=("metadata",)))
    await carry_out(log)
    assert (await log.last(call_state_filter(QUEUED.call_id))) == changed, "it is in the queue again"
    assert not log.events(AdmissionReleased), "the fold of the slots has freed the slot already"


async def test_a_grant_that_is_delivered_again_sets_the_timer_of_its_call_before_it_decides() -> None:
    log, timers = log_of(QUEUED), FakeTimers()

    def fail(_: Event) -> None:
        raise ConnectionError

    log.before_append = fail
    with pytest.raises(ConnectionError):
        await carry_out(log, timers=timers)
    assert not timers.deadlines, "the first delivery sets the timer once it has decided"
    with pytest.raises(ConnectionError):
        await carry_out(log, timers=timers, is_redelivered=True)
    assert timers.deadlines == {QUEUED.call_id: QUEUED.deadline_at}


async def test_a_grant_that_is_ignored_sets_the_timer_of_its_call() -> None:
    log, timers = log_of(QUEUED.model_copy(update={"attempt": 1})), FakeTimers()
    await carry_out(log, timers=timers)
    assert statuses(log)[-1] is CallStatus.PENDING
    assert timers.deadlines == {QUEUED.call_id: QUEUED.deadline_at}
