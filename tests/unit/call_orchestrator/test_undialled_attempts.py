"""An undialled attempt is no dial: it uses up no retry, and the dial is tried again until it expires."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_orchestrator.application.snapshots import call_after, state_of
from call_orchestrator.domain import inputs
from call_orchestrator.domain.attempts import MAX_CHECKS
from call_orchestrator.domain.decisions import (
    CallChanged,
    CallDue,
    CallHangupRequested,
    CallStatusChanged,
    Ignored,
    Refused,
)
from call_orchestrator.domain.inputs import TelephonyStatusReported, TimerDue
from call_orchestrator.domain.machine import ANSWER_MARGIN, decide
from call_orchestrator.domain.states import Dialing, Ended, Pending, State, Terms, dials
from call_orchestrator.domain.undialled import FIRST_PAUSE, MAX_FINAL_PAUSE, MIN_FINAL_PAUSE, MIN_PAUSE, pause
from centralita.docs.state_machine import LATER, NOW, TERMS, states
from contracts.call import Call, CallProgress
from contracts.examples import CALL
from contracts.vocabulary import CallStatus, TelephonyStatus

DIALING = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER, dial_expires_at=NOW + TERMS.dial_within)
SECOND = timedelta(seconds=1)
MAX_STEPS = 5_000
"""More steps than a call needs: at most five dials, each tried every five minutes for six hours."""


def refused(attempt: int, *, is_permanent: bool = False, reason: str = "HTTP 401") -> inputs.DialRefused:
    return inputs.DialRefused(attempt=attempt, is_permanent=is_permanent, reason=reason)


def after(state: State, input: inputs.Input, now: datetime = NOW, terms: Terms = TERMS) -> State:
    decision = decide(state, input, terms, now)
    assert not isinstance(decision, Ignored | Refused), decision
    return decision.state


def waiting(state: State) -> Pending:
    assert isinstance(state, Pending)
    return state


def dialed_again(state: Pending, now: datetime) -> State:
    due = waiting(after(state, TimerDue(deadline_at=state.due_at), now))
    return after(due, inputs.AdmissionGranted(attempt=state.attempt + 1), now)


def test_an_undialled_attempt_uses_up_no_retry() -> None:
    last = replace(DIALING, attempt=TERMS.max_retries + 1)
    postponed = waiting(after(last, refused(last.attempt)))
    assert (postponed.attempt, dials(postponed)) == (last.attempt, last.attempt - 1)
    again = dialed_again(postponed, postponed.due_at)
    assert isinstance(again, Dialing)
    assert (again.attempt, dials(again)) == (last.attempt + 1, last.attempt), "the claim is keyed by the attempt"
    busy = after(again, TelephonyStatusReported(attempt=again.attempt, status=TelephonyStatus.BUSY))
    assert isinstance(busy, Ended)
    assert busy.status is CallStatus.BUSY


def test_the_pause_begins_short_and_grows_to_the_retry_delay() -> None:
    waits = [pause(refusals, timedelta(minutes=10)) for refusals in range(8)]
    assert waits == [timedelta(seconds=seconds) for seconds in (30, 60, 120, 240, 480, 600, 600, 600)]


def test_a_call_without_a_retry_delay_still_pauses_between_attempts() -> None:
    assert pause(0, timedelta()) == MIN_PAUSE
    assert pause(10_000, timedelta()) == MIN_FINAL_PAUSE


def test_a_long_retry_delay_does_not_use_up_the_time_for_the_dial() -> None:
    assert pause(0, timedelta(days=7)) == FIRST_PAUSE
    assert pause(10_000, timedelta(days=7)) == MAX_FINAL_PAUSE


def test_after_a_dial_the_pause_begins_again() -> None:
    postponed = waiting(after(replace(DIALING, undialled_in_a_row=7), refused(1)))
    again = dialed_again(postponed, postponed.due_at)
    busy = waiting(after(again, TelephonyStatusReported(attempt=2, status=TelephonyStatus.BUSY)))
    assert (busy.due_at, busy.undialled_in_a_row, busy.dial_expires_at) == (NOW + TERMS.retry_delay, 0, None)
    assert busy.undialled_attempts == 1


def test_all_attempts_at_a_dial_share_its_expiry() -> None:
    postponed = waiting(after(DIALING, refused(1)))
    again = dialed_again(postponed, postponed.due_at + SECOND)
    assert isinstance(again, Dialing)
    assert again.dial_expires_at == DIALING.dial_expires_at


def test_a_call_whose_dial_expires_ends_with_the_reason_of_its_last_refusal() -> None:
    decision = decide(replace(DIALING, dial_expires_at=NOW + SECOND), refused(1), TERMS, NOW)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Ended(status=CallStatus.EXPIRED, attempt=1, ended_at=NOW, undialled_attempts=1)
    assert decision.reason == "it could not be dialled in time: HTTP 401"


def test_a_refused_call_that_gets_no_slot_in_time_ends_with_the_reason() -> None:
    postponed = waiting(after(DIALING, refused(1)))
    due = decide(postponed, TimerDue(deadline_at=postponed.due_at), TERMS, postponed.due_at)
    assert isinstance(due, CallDue)
    assert due.state.deadline_at == DIALING.dial_expires_at
    over = decide(due.state, TimerDue(deadline_at=due.state.deadline_at), TERMS, due.state.deadline_at)
    assert isinstance(over, CallStatusChanged)
    assert (over.state.status, over.reason) == (CallStatus.EXPIRED, "it could not be dialled in time: HTTP 401")


def test_a_permanent_refusal_ends_the_call_and_does_not_count_as_a_dial() -> None:
    failed = after(DIALING, refused(1, is_permanent=True))
    assert failed == Ended(status=CallStatus.FAILED, attempt=1, ended_at=NOW, undialled_attempts=1)
    no_retries = replace(TERMS, max_retries=0)
    assert isinstance(decide(failed, inputs.CallRetryRequested(), no_retries, NOW), CallStatusChanged), (
        "a retry command may follow once the number is unblocked"
    )


def test_a_manual_retry_counts_dials() -> None:
    dialled_once = Ended(status=CallStatus.BUSY, attempt=TERMS.max_retries + 3, ended_at=NOW, undialled_attempts=3)
    retried = waiting(after(dialled_once, inputs.CallRetryRequested()))
    assert (retried.undialled_attempts, retried.undialled_in_a_row) == (3, 0)
    used_up = decide(replace(dialled_once, undialled_attempts=2), inputs.CallRetryRequested(), TERMS, NOW)
    assert isinstance(used_up, Refused)
    assert "dialled 2 times" in used_up.reason


def test_a_call_canceled_before_it_rang_ends_canceled() -> None:
    decision = decide(DIALING, inputs.CallCancelRequested(), TERMS, NOW)
    assert isinstance(decision, CallHangupRequested)
    ended = after(decision.state, refused(1, reason="called off before dialling"))
    assert (ended.status, ended.undialled_attempts) == (CallStatus.CANCELED, 1)


def test_a_change_of_a_refused_call_restores_the_full_time_for_its_dial() -> None:
    postponed = waiting(after(DIALING, refused(1)))
    changed = decide(postponed, inputs.CallChangeRequested(scheduled_at=NOW), TERMS, NOW)
    assert isinstance(changed, CallChanged)
    expires_at = NOW + TERMS.dial_within
    assert changed.state == Pending(attempt=1, due_at=NOW, queue_expires_at=expires_at, undialled_attempts=1)


def test_an_attempt_of_an_older_log_expires_counted_from_when_it_began() -> None:
    older = replace(DIALING, dial_expires_at=None)
    assert waiting(after(older, refused(1))).dial_expires_at == older.dialed_at + TERMS.dial_within


@pytest.mark.parametrize(("name", "state"), states().items(), ids=lambda one: one if isinstance(one, str) else "")
def test_a_state_survives_the_round_trip_through_its_snapshot(name: str, state: State) -> None:
    reason = state.reason if isinstance(state, Pending) else None
    written = call_after(CALL, CallStatusChanged(state=state, reason=reason), NOW)
    assert state_of(written) == state


@given(
    max_retries=st.integers(0, 4),
    retry_delay=st.timedeltas(timedelta(), timedelta(hours=2)),
    dial_within=st.timedeltas(SECOND, timedelta(hours=6)),
    data=st.data(),
)
def test_every_call_ends_for_every_sequence_of_outcomes(
    max_retries: int, retry_delay: timedelta, dial_within: timedelta, data: st.DataObject
) -> None:
    terms = replace(TERMS, max_retries=max_retries, retry_delay=retry_delay, dial_within=dial_within)
    ends = data.draw(st.lists(st.sampled_from([refused, _busy, _unknown]), max_size=12))
    slot = data.draw(st.timedeltas(timedelta(), dial_within / 10))

    state, now = _life(terms, slot, lambda number: ends[number] if number < len(ends) else refused)

    assert isinstance(state, Ended)
    assert dials(state) <= max_retries + 1, "never more dials than max_retries permits"
    asked = timedelta(hours=MAX_CHECKS)
    assert now - NOW <= (max_retries + 1) * (dial_within + terms.ring_time + ANSWER_MARGIN + asked + retry_delay)


def _busy(attempt: int) -> inputs.Input:
    return TelephonyStatusReported(attempt=attempt, status=TelephonyStatus.BUSY)


def _unknown(attempt: int) -> inputs.Input:
    return TelephonyStatusReported(attempt=attempt, status=TelephonyStatus.INITIATED)


def _life(
    terms: Terms, slot: timedelta, end_of: Callable[[int], Callable[[int], inputs.Input]]
) -> tuple[State, datetime]:
    """Runs a call: timers fire, a slot is granted after `slot`, and `end_of` returns the outcome of each attempt."""
    state: State = Pending(attempt=0, due_at=NOW)
    now, last_attempt = NOW, 0
    for _ in range(MAX_STEPS):
        if isinstance(state, Ended):
            break
        if isinstance(state, Dialing) and last_attempt < state.attempt:
            last_attempt, now = state.attempt, now + SECOND
            decision = decide(state, end_of(last_attempt - 1)(last_attempt), terms, now)
        elif isinstance(state, Pending) and state.queue_expires_at is not None and now + slot <= state.queue_expires_at:
            now += slot
            decision = decide(state, inputs.AdmissionGranted(attempt=state.attempt + 1), terms, now)
        else:
            now = max(now, state.deadline_at)
            decision = decide(state, TimerDue(deadline_at=state.deadline_at), terms, now)
        state = state if isinstance(decision, Ignored | Refused) else decision.state
    return state, now


def test_a_decision_sets_every_field_that_the_state_determines() -> None:
    terms = {
        "call_id",
        "request_id",
        "campaign_id",
        "contact_id",
        "key_name",
        "phone_number",
        "script_template",
        "variables",
        "language",
        "mode",
        "metadata",
        "max_retries",
        "retry_delay_seconds",
        "retry_policy",
        "max_attempts",
        "max_attempts_per_day",
        "retention_days",
        "goal",
        "call_timeout_seconds",
        "max_call_seconds",
        "purpose",
        "time_zone",
        "voicemail",
        "turn_taking",
        "number_digest",
        "callee",
        "message_characters",
        "caller_id",
        "voice",
        "opt_out_key",
        "company",
        "disclosure",
        "message_disclosure",
        "has_tools",
        "consent_at",
        "consent_source",
        "number_changed_at",
        "created_at",
        "command_sequence",
        "granted_sequence",
    }
    assert CallProgress.__annotations__.keys() == Call.model_fields.keys() - terms
