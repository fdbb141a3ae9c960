"""A callee asks to be called again: the call waits for that after its attempt, and each call still ends."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_orchestrator.domain import inputs
from call_orchestrator.domain.callbacks import CALLBACK_REASON, MAX_CALLBACKS, NOT_CALLED_BACK
from call_orchestrator.domain.calling_policy import CallingPolicy, Requirement
from call_orchestrator.domain.decisions import CallCallbackNoted, CallStatusChanged, Ignored, Refused
from call_orchestrator.domain.dial_times import DialTimes
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Callback, Dialing, Ended, InProgress, Pending, State, Terms, dials
from centralita.docs.state_machine import LATER, NOW, TERMS
from contracts.callees import callee_of
from contracts.vocabulary import AnsweredBy, CallStatus, Disposition, HangupReason, Purpose, TelephonyStatus

TOMORROW = NOW + timedelta(days=1)
TALKING = InProgress(attempt=1, dialed_at=NOW, deadline_at=LATER, answered_at=NOW)
COMPLETED = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.COMPLETED, duration_seconds=20)
WAITING = Pending(attempt=1, due_at=TOMORROW, callback=Callback(at=TOMORROW, number=1), callbacks=1)


def asked(at: datetime = TOMORROW, *, number: int = 1, attempt: int = 1) -> inputs.CallbackScheduled:
    return inputs.CallbackScheduled(attempt=attempt, at=at, number=number)


def ended(disposition: Disposition) -> inputs.ConversationEnded:
    return inputs.ConversationEnded(attempt=1, disposition=disposition, goodbye_seconds=1)


def after(state: State, *received: inputs.Input, terms: Terms = TERMS, now: datetime = NOW) -> State:
    """Returns the state after these inputs; those that are ignored or refused change nothing."""
    for one in received:
        decision = decide(state, one, terms, now)
        state = state if isinstance(decision, Ignored | Refused) else decision.state
    return state


def test_the_call_waits_for_the_callback_once_its_attempt_has_ended() -> None:
    noted = decide(TALKING, asked(), TERMS, NOW)
    assert isinstance(noted, CallCallbackNoted)
    assert noted.state.deadline_at == TALKING.deadline_at, "the conversation goes on"
    over = decide(noted.state, COMPLETED, TERMS, NOW)
    assert isinstance(over, CallStatusChanged)
    assert (over.state, over.reason, over.duration_seconds) == (WAITING, CALLBACK_REASON, 20)
    assert over.state.deadline_at == TOMORROW


def test_the_callback_is_a_further_attempt_of_the_same_call() -> None:
    due = after(WAITING, inputs.TimerDue(deadline_at=TOMORROW), now=TOMORROW)
    dialing = after(due, inputs.AdmissionGranted(attempt=2), now=TOMORROW)
    assert isinstance(dialing, Dialing)
    assert (dialing.attempt, dials(dialing), dialing.callback, dialing.callbacks) == (2, 2, None, 1)


def test_a_timer_before_the_callback_changes_nothing() -> None:
    early = decide(WAITING, inputs.TimerDue(deadline_at=TOMORROW), TERMS, TOMORROW - timedelta(hours=1))
    assert isinstance(early, Ignored)


def test_the_last_callback_of_a_conversation_counts_in_whichever_order_they_arrive() -> None:
    later = TOMORROW + timedelta(hours=3)
    for received in ([asked(), asked(later, number=2)], [asked(later, number=2), asked()]):
        waiting = after(TALKING, *received, COMPLETED)
        assert isinstance(waiting, Pending)
        assert (waiting.due_at, waiting.callbacks) == (later, 1)


def test_a_callback_that_arrives_after_the_line_was_closed_counts() -> None:
    completed = after(TALKING, COMPLETED)
    assert isinstance(completed, Ended)
    again = decide(completed, asked(), TERMS, NOW)
    assert isinstance(again, CallStatusChanged)
    assert (again.state, again.reason) == (WAITING, CALLBACK_REASON)


def test_a_later_callback_replaces_the_one_for_which_the_call_waits() -> None:
    later = TOMORROW + timedelta(days=1)
    replaced = decide(WAITING, asked(later, number=2), TERMS, NOW)
    assert isinstance(replaced, CallCallbackNoted)
    assert isinstance(replaced.state, Pending)
    assert (replaced.state.due_at, replaced.state.callbacks) == (later, 1)
    assert isinstance(decide(WAITING, asked(), TERMS, NOW), Ignored), "a second delivery"


def test_a_callback_without_a_limit_of_retries_is_dialled_though_no_retry_remains() -> None:
    waiting = after(replace(TALKING, attempt=2), asked(attempt=2), replace(COMPLETED, attempt=2))
    assert isinstance(waiting, Pending)
    assert dials(waiting) > TERMS.max_retries


@pytest.mark.parametrize("disposition", [Disposition.OPT_OUT, Disposition.DECLINED])
def test_who_wants_no_call_any_more_is_not_called_again(disposition: Disposition) -> None:
    orders: tuple[list[inputs.Input], ...] = (
        [asked(), ended(disposition), COMPLETED],
        [ended(disposition), asked(), COMPLETED],
        [ended(disposition), COMPLETED, asked()],
        [asked(), COMPLETED, ended(disposition)],
    )
    for received in orders:
        state = after(TALKING, *received)
        assert isinstance(state, Ended)
        assert (state.status, state.disposition) == (CallStatus.COMPLETED, disposition)


def test_the_opt_out_key_wins_over_a_callback() -> None:
    pressed = inputs.OptOutKeyPressed(attempt=1)
    for state in (after(TALKING, asked(), pressed, COMPLETED), after(TALKING, asked(), COMPLETED, pressed)):
        assert isinstance(state, Ended)
        assert state.disposition is Disposition.OPT_OUT


def test_another_disposition_that_arrives_late_does_not_end_the_wait() -> None:
    assert isinstance(decide(WAITING, ended(Disposition.CALLBACK_REQUESTED), TERMS, NOW), Ignored)


def test_a_cancel_removes_the_callback() -> None:
    live = after(TALKING, asked(), inputs.CallCancelRequested(), COMPLETED, asked(number=2))
    assert isinstance(live, Ended)
    assert live.status is CallStatus.CANCELED
    waiting = after(WAITING, inputs.CallCancelRequested(), asked(number=2))
    assert isinstance(waiting, Ended)
    assert waiting.status is CallStatus.CANCELED


def test_a_machine_is_not_called_back() -> None:
    machine = inputs.AnswerClassified(attempt=1, answered_by=AnsweredBy.MACHINE)
    assert after(TALKING, asked(), machine, COMPLETED) == Ended(status=CallStatus.VOICEMAIL, attempt=1, ended_at=NOW)


def test_a_callback_of_another_attempt_changes_nothing() -> None:
    for state in (TALKING, WAITING, replace(WAITING, callback=None)):
        assert isinstance(decide(state, asked(attempt=3), TERMS, NOW), Ignored)


def test_the_campaign_limits_the_dials_in_all() -> None:
    terms = replace(TERMS, max_attempts=1)
    assert isinstance(decide(TALKING, asked(), terms, NOW), Ignored)
    assert isinstance(after(TALKING, asked(), COMPLETED, terms=terms), Ended)


def test_a_call_of_a_finished_campaign_does_not_wait() -> None:
    finished = replace(TERMS, is_campaign_finished=True)
    noted = after(TALKING, asked())
    ended = decide(noted, COMPLETED, finished, NOW)
    assert isinstance(ended, CallStatusChanged)
    assert isinstance(ended.state, Ended)
    assert ended.reason == f"{NOT_CALLED_BACK}: its campaign is finished"


def test_a_callback_outside_the_calling_hours_waits_for_the_next_permitted_time() -> None:
    hours = DialTimes(
        policy=CallingPolicy.shipped(),
        callee=callee_of("+12125550123"),
        purpose=Purpose.SERVICE,
        met=frozenset(Requirement),
    )
    terms = replace(TERMS, dial_times=hours)
    night = NOW.replace(hour=8) + timedelta(days=1)  # 03:00 in New York
    decision = decide(after(TALKING, asked(night), terms=terms), COMPLETED, terms, NOW)
    assert isinstance(decision, CallStatusChanged)
    assert isinstance(decision.state, Pending)
    assert decision.permission is not None
    assert night < decision.state.due_at < night + timedelta(days=1)


def test_a_changed_time_of_a_callback_is_not_replaced_by_its_second_delivery() -> None:
    sooner = NOW + timedelta(hours=1)
    changed = after(WAITING, inputs.CallChangeRequested(scheduled_at=sooner), asked())
    assert isinstance(changed, Pending)
    assert changed.due_at == sooner


def test_callbacks_are_limited_so_every_call_ends() -> None:
    state: State = TALKING
    for count in range(1, MAX_CALLBACKS + 1):
        attempt = state.attempt
        state = after(state, asked(attempt=attempt), replace(COMPLETED, attempt=attempt))
        assert isinstance(state, Pending)
        assert state.callbacks == count
        state = replace(TALKING, attempt=attempt + 1, callbacks=state.callbacks)
    last = after(state, asked(attempt=state.attempt), replace(COMPLETED, attempt=state.attempt))
    assert isinstance(last, Ended)


_RECEIVED = st.one_of(
    st.builds(
        asked,
        st.integers(min_value=-600, max_value=60_000).map(lambda minutes: NOW + timedelta(minutes=minutes)),
        number=st.integers(min_value=1, max_value=4),
        attempt=st.integers(min_value=1, max_value=4),
    ),
    st.builds(
        inputs.TelephonyStatusReported,
        attempt=st.integers(min_value=1, max_value=4),
        status=st.sampled_from(TelephonyStatus),
    ),
    st.builds(
        inputs.ConversationEnded,
        attempt=st.integers(min_value=1, max_value=4),
        disposition=st.sampled_from(Disposition),
        goodbye_seconds=st.just(1.0),
    ),
    st.sampled_from([inputs.CallCancelRequested(), inputs.CallRetryRequested(), inputs.CallChangeRequested()]),
    st.builds(inputs.AdmissionGranted, attempt=st.integers(min_value=1, max_value=8)),
    st.builds(inputs.OptOutKeyPressed, attempt=st.integers(min_value=1, max_value=4)),
    st.just(None),
)
"""Inputs in any order; None: the deadline of the state passes."""


@settings(deadline=None)
@given(st.lists(_RECEIVED, max_size=40))
def test_whatever_arrives_a_call_has_one_deadline_and_ends(received: list[inputs.Input | None]) -> None:
    state: State = TALKING
    now = NOW
    terms = replace(TERMS, max_attempts=4)
    for one in received:
        now += timedelta(minutes=1)
        state = _next(state, one, terms, now)
        assert (state.deadline_at is None) == isinstance(state, Ended)
        assert state.callbacks <= MAX_CALLBACKS
        assert dials(state) <= 4
        if isinstance(state, Ended) and state.disposition in (Disposition.OPT_OUT, Disposition.DECLINED):
            again = decide(state, asked(attempt=state.attempt, number=9), terms, now)
            assert isinstance(again, Ignored)
    for _ in range(60):
        if isinstance(state, Ended):
            return
        now = max(now, state.deadline_at) + timedelta(seconds=1)
        state = _next(state, None, terms, now)
    raise AssertionError(f"the call has not ended: {state}")


def _next(state: State, one: inputs.Input | None, terms: Terms, now: datetime) -> State:
    if one is None:
        if state.deadline_at is None:
            return state
        now, one = max(now, state.deadline_at), inputs.TimerDue(deadline_at=state.deadline_at)
    return after(state, one, terms=terms, now=now)


def test_a_hang_up_by_us_for_another_reason_keeps_the_callback() -> None:
    too_long = replace(TALKING, hangup_reason=HangupReason.TOO_LONG)
    assert isinstance(after(too_long, asked(), COMPLETED), Pending)
