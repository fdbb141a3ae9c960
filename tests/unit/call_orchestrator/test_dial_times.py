"""The calling policy in the state machine: a dial outside the callee's hours is put off, never made."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.builders.calls import a_call
from tests.builders.policies import ANY_TIME_POLICY

from call_orchestrator.application.snapshots import call_after, permission_of, state_of
from call_orchestrator.domain import inputs
from call_orchestrator.domain.calling_policy import CallingPolicy, Requirement
from call_orchestrator.domain.decisions import CallChanged, CallCreated, CallDue, CallPutOff, CallStatusChanged, Refused
from call_orchestrator.domain.dial_times import DialTimes
from call_orchestrator.domain.machine import create, decide
from call_orchestrator.domain.states import Dialing, Ended, Pending, Terms
from centralita.docs.state_machine import TERMS
from contracts.callees import callee_of
from contracts.vocabulary import CallStatus, Purpose, TelephonyStatus

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 3, 17, tzinfo=UTC)
"""12:00 on a Tuesday in New York."""
NIGHT = NOON + 11 * HOUR
OPENS = datetime(2026, 3, 4, 13, tzinfo=UTC)
"""08:00 on the next day, when sales calls in the US are permitted again."""
GRANT = inputs.AdmissionGranted(attempt=1)


def terms(
    phone_number: str = "+12125550123", purpose: Purpose | None = Purpose.SALES, zone: str | None = None
) -> Terms:
    dial_times = DialTimes(
        policy=CallingPolicy.shipped(),
        callee=callee_of(phone_number, zone),
        purpose=purpose,
        met=frozenset(Requirement),
    )
    return replace(TERMS, dial_times=dial_times)


def queued(at: datetime) -> Pending:
    return Pending(attempt=0, due_at=at, queue_expires_at=at + TERMS.dial_within)


def test_a_call_that_is_requested_at_night_is_due_when_the_hours_begin() -> None:
    created = create(inputs.CallRequested(), terms(), NIGHT)
    assert isinstance(created, CallCreated)
    assert created.state == Pending(attempt=0, due_at=OPENS)
    assert created.permission is not None
    assert created.permission.reason.rule == "calling_hours"


def test_a_call_that_is_requested_in_the_hours_is_queued_at_once() -> None:
    created = create(inputs.CallRequested(), terms(), NOON)
    assert created == CallCreated(state=queued(NOON))


def test_a_scheduled_time_at_night_is_moved_to_the_next_hours() -> None:
    created = create(inputs.CallRequested(scheduled_at=NIGHT), terms(), NOON)
    assert isinstance(created, CallCreated)
    assert created.state.due_at == OPENS


def test_a_call_in_an_emergency_is_dialled_at_night() -> None:
    assert create(inputs.CallRequested(), terms(purpose=Purpose.EMERGENCY), NIGHT) == CallCreated(state=queued(NIGHT))


def test_the_zone_of_the_callee_counts_and_not_that_of_the_number() -> None:
    in_hawaii = create(inputs.CallRequested(), terms(zone="Pacific/Honolulu"), NIGHT)
    assert in_hawaii == CallCreated(state=queued(NIGHT)), "18:00 there"


def test_a_slot_that_is_granted_after_the_hours_is_not_used() -> None:
    before = queued(NIGHT - 8 * HOUR)
    decision = decide(before, GRANT, terms(), NIGHT)
    assert isinstance(decision, CallPutOff)
    assert decision.state.due_at == OPENS
    assert decision.state.queue_expires_at is None, "it waits for no slot at night"
    assert decision.permission.reason.rule == "calling_hours"


def test_closed_hours_use_up_nothing_of_the_time_to_dial() -> None:
    before = queued(NIGHT - 8 * HOUR)
    decision = decide(before, GRANT, terms(), NIGHT)
    assert isinstance(decision, CallPutOff)
    due = decide(decision.state, inputs.TimerDue(deadline_at=OPENS), terms(), OPENS)
    assert isinstance(due, CallDue)
    assert due.state.deadline_at == OPENS + TERMS.dial_within - 8 * HOUR


def test_a_dial_records_why_it_was_permitted() -> None:
    decision = decide(queued(NOON), GRANT, terms(), NOON)
    assert isinstance(decision, CallStatusChanged)
    assert isinstance(decision.state, Dialing)
    assert decision.permission is not None
    assert decision.permission.reason.policy_version == CallingPolicy.shipped().version


def test_a_retry_after_the_hours_waits_until_the_next_ones() -> None:
    at = NOON + 8 * HOUR  # 20:00; the retry would be after 21:00
    calling = replace(terms(), retry_delay=2 * HOUR)
    state = Dialing(attempt=1, dialed_at=at, deadline_at=at + HOUR)
    busy = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.BUSY)
    decision = decide(state, busy, calling, at)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Pending(attempt=1, due_at=OPENS)
    assert decision.permission is not None


def test_an_undialled_attempt_after_the_hours_waits_and_keeps_its_remaining_time() -> None:
    at = OPENS - timedelta(hours=11, minutes=0, seconds=1)  # one second before 21:00
    state = Dialing(attempt=1, dialed_at=at, deadline_at=at + HOUR)
    refused = inputs.DialRefused(attempt=1, is_permanent=False, reason="HTTP 503")
    decision = decide(state, refused, terms(), at)
    assert isinstance(decision, CallStatusChanged)
    assert isinstance(decision.state, Pending)
    assert decision.state.due_at == OPENS
    assert decision.state.dial_expires_at is not None
    assert decision.state.dial_expires_at > OPENS + TERMS.dial_within - HOUR


def test_an_undialled_attempt_that_may_never_be_repeated_ends_the_call_with_its_counts() -> None:
    state = Dialing(attempt=2, dialed_at=NOON, deadline_at=NOON + HOUR, undialled_attempts=1, retries={"busy": 1})
    refused = inputs.DialRefused(attempt=2, is_permanent=False, reason="HTTP 503")
    decision = decide(state, refused, terms("+8816325550123"), NOON)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Ended(
        status=CallStatus.FAILED, attempt=2, ended_at=NOON, undialled_attempts=2, retries={"busy": 1}
    )


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_change_to_now_at_night_is_put_off(attempt: int) -> None:
    state = Pending(attempt=attempt, due_at=OPENS + 24 * HOUR)
    decision = decide(state, inputs.CallChangeRequested(scheduled_at=NIGHT), terms(), NIGHT)
    assert isinstance(decision, CallChanged)
    assert decision.state == Pending(attempt=attempt, due_at=OPENS)
    assert decision.permission is not None


def test_a_retry_by_command_at_night_is_put_off() -> None:
    ended = Ended(status=CallStatus.BUSY, attempt=1, ended_at=NIGHT)
    decision = decide(ended, inputs.CallRetryRequested(), terms(), NIGHT)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Pending(attempt=1, due_at=OPENS)


def test_a_person_in_an_unknown_zone_is_not_called() -> None:
    unknown = terms("+8816325550123")  # a satellite network
    assert isinstance(create(inputs.CallRequested(), unknown, NOON), Refused)
    ended = decide(queued(NOON), GRANT, unknown, NOON)
    assert isinstance(ended, CallStatusChanged)
    assert isinstance(ended.state, Ended)
    assert ended.state.status is CallStatus.FAILED
    assert "not permitted by the calling policy" in (ended.reason or "")


def limited(max_per_day: int, *recent_dials: datetime) -> Terms:
    """Returns terms with a daily limit for calls that may be dialled at any hour."""
    dial_times = DialTimes(
        policy=ANY_TIME_POLICY,
        callee=callee_of("+12125550123"),
        purpose=None,
        max_per_day=max_per_day,
        recent_dials=recent_dials,
    )
    return replace(TERMS, dial_times=dial_times, retry_delay=HOUR)


@pytest.mark.parametrize(("max_per_day", "due_at"), [(1, NOON + 24 * HOUR), (2, NOON + 22 * HOUR), (3, NOON + HOUR)])
def test_a_retry_beyond_the_daily_limit_waits_until_24_hours_after_the_first_counted_dial(
    max_per_day: int, due_at: datetime
) -> None:
    state = Dialing(attempt=1, dialed_at=NOON, deadline_at=NOON + HOUR)
    busy = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.BUSY)
    decision = decide(state, busy, limited(max_per_day, NOON - 2 * HOUR), NOON)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Pending(attempt=1, due_at=due_at)
    rule = decision.permission.reason.rule if decision.permission else None
    assert rule == ("attempts_per_day" if max_per_day < 3 else None)


def test_a_grant_and_a_command_before_the_end_of_the_daily_limit_are_put_off() -> None:
    ends_at = NOON + 22 * HOUR
    decision = decide(queued(NOON), GRANT, limited(1, NOON - 2 * HOUR), NOON)
    assert isinstance(decision, CallPutOff)
    assert decision.state.due_at == ends_at
    assert "the campaign permits 1" in decision.permission.reason.detail
    ended = Ended(status=CallStatus.BUSY, attempt=1, ended_at=NOON)
    retried = decide(ended, inputs.CallRetryRequested(), limited(1, NOON - 2 * HOUR), NOON)
    assert isinstance(retried, CallStatusChanged)
    assert retried.state == Pending(attempt=1, due_at=ends_at)
    assert isinstance(decide(queued(ends_at), GRANT, limited(1, NOON - 2 * HOUR), ends_at), CallStatusChanged)


def test_an_undialled_attempt_does_not_count_for_the_daily_limit() -> None:
    state = Dialing(attempt=1, dialed_at=NOON, deadline_at=NOON + HOUR)
    refused = inputs.DialRefused(attempt=1, is_permanent=False, reason="HTTP 503")
    decision = decide(state, refused, limited(1), NOON)
    assert isinstance(decision, CallStatusChanged)
    assert isinstance(decision.state, Pending)
    assert decision.state.due_at < NOON + HOUR


def test_a_snapshot_keeps_the_dials_that_its_daily_limit_counts() -> None:
    calling = limited(2)
    call, dialled = a_call(CallStatus.DIALING, dialed_at=NOON).model_copy(update={"max_attempts_per_day": 2}), []
    for attempt in range(1, 4):
        at = NOON + attempt * 24 * HOUR
        call = call.model_copy(update={"status": CallStatus.DIALING, "attempt": attempt, "dialed_at": at})
        call = call.model_copy(update={"deadline_at": at + HOUR, "ended_at": None})
        is_undialled = attempt == 2
        report: inputs.Input = inputs.TelephonyStatusReported(attempt=attempt, status=TelephonyStatus.BUSY)
        if is_undialled:
            report = inputs.DialRefused(attempt=attempt, is_permanent=False, reason="HTTP 503")
        else:
            dialled.append(at)
        decision = decide(state_of(call), report, calling, at)
        assert isinstance(decision, CallStatusChanged)
        call = call_after(call, decision, at)
        assert call.recent_dials == tuple(dialled)
    unlimited = call.model_copy(update={"max_attempts_per_day": None, "recent_dials": ()})
    assert {"recent_dials", "max_attempts_per_day"}.isdisjoint(unlimited.model_dump(exclude_defaults=True))


def test_a_dial_carries_the_end_of_the_hours_and_one_in_an_emergency_none() -> None:
    closes = datetime(2026, 3, 4, 2, tzinfo=UTC)
    for begins, purpose, until in [
        (NOON, Purpose.SALES, closes),
        (closes - timedelta(seconds=2), Purpose.SALES, closes),
        (NIGHT, Purpose.EMERGENCY, None),
    ]:
        begun = decide(queued(begins), GRANT, terms(purpose=purpose), begins)
        assert isinstance(begun, CallStatusChanged)
        assert isinstance(begun.state, Dialing)
        permission = permission_of(begun)
        assert permission
        assert permission.until == until
