"""The rules of a call, and a decision for every input in every state."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_orchestrator.domain import inputs
from call_orchestrator.domain.attempts import GOODBYE_MARGIN, MAX_CHECKS
from call_orchestrator.domain.decisions import (
    CallChanged,
    CallConcluded,
    CallCreated,
    CallDue,
    CallHangupRequested,
    CallSettlementRequested,
    CallStatusChanged,
    Decision,
    Ignored,
    Refused,
)
from call_orchestrator.domain.inputs import TelephonyStatusReported, TimerDue
from call_orchestrator.domain.machine import ANSWER_MARGIN, create, decide, evolve
from call_orchestrator.domain.states import Dialing, Ended, InProgress, Pending, Ringing, State, dials
from call_orchestrator.domain.timers import EARLY_TOLERANCE
from centralita.docs.state_machine import LATER, NOW, TERMS, Case, cases, document, states
from contracts.consumers import VOICE_DIALS
from contracts.values import MIN_RING_SECONDS
from contracts.vocabulary import AnsweredBy, CallStatus, Disposition, HangupReason, RefusalCode, TelephonyStatus

DIALING = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER)
TALKING = InProgress(attempt=1, dialed_at=NOW, deadline_at=LATER, answered_at=NOW)
ALL = list(cases())


def reported(status: TelephonyStatus, *, attempt: int = 1, is_permanent: bool = False) -> TelephonyStatusReported:
    return TelephonyStatusReported(attempt=attempt, status=status, is_permanent=is_permanent, duration_seconds=7)


def moved(state: State, input: inputs.Input) -> Pending | Dialing | Ringing | InProgress | Ended:
    decision = decide(state, input, TERMS, NOW)
    assert isinstance(decision, CallStatusChanged), decision
    return decision.state


def at_deadline(state: State, early_by: timedelta = timedelta()) -> Decision:
    assert state.deadline_at
    return decide(state, TimerDue(deadline_at=state.deadline_at), TERMS, state.deadline_at - early_by)


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.state_name}-{case.input_name}")
def test_every_decision_keeps_the_laws_in_every_state(case: Case) -> None:
    decision = case.decision
    if isinstance(decision, Ignored | Refused):
        assert decision.reason
        return
    after = evolve(case.state, decision)
    assert (after.deadline_at is None) == isinstance(after, Ended), "every state but Ended has one deadline"
    if isinstance(case.state, Ended):
        returning = inputs.CallRetryRequested | inputs.CallbackScheduled
        assert isinstance(case.input, returning), "nothing else returns a call to pending"
    begins = isinstance(after, Dialing) and not isinstance(case.state, Dialing)
    assert after.attempt == case.state.attempt + begins, "an attempt begins only with a dial"
    assert dials(after) <= TERMS.max_retries + 1 or not begins, "never more dials than max_retries permits"
    if begins:
        assert isinstance(case.state, Pending)
        assert isinstance(case.input, inputs.AdmissionGranted), "only a slot lets a call be dialled"


def test_each_status_is_reached() -> None:
    reached = {case.decision.state.status for case in ALL if isinstance(case.decision, CallStatusChanged)}
    assert reached == set(CallStatus)


def test_a_call_is_due_at_its_scheduled_time_and_without_one_is_created_queued() -> None:
    scheduled = create(inputs.CallRequested(scheduled_at=LATER), TERMS, NOW)
    assert scheduled == CallCreated(state=Pending(attempt=0, due_at=LATER))
    queued = CallCreated(state=Pending(attempt=0, due_at=NOW, queue_expires_at=NOW + TERMS.dial_within))
    assert create(inputs.CallRequested(), TERMS, NOW) == queued
    assert create(inputs.CallRequested(scheduled_at=NOW - timedelta(days=1)), TERMS, NOW) == queued


@pytest.mark.parametrize(
    ("state", "input"),
    [
        (Pending(attempt=0, due_at=LATER), inputs.CallChangeRequested(scheduled_at=NOW)),
        (Ended(status=CallStatus.BUSY, attempt=1, ended_at=NOW), inputs.CallRetryRequested()),
    ],
)
def test_a_call_that_a_command_makes_due_now_is_queued_at_once(state: State, input: inputs.Input) -> None:
    decision = decide(state, input, TERMS, NOW)
    assert isinstance(decision, CallChanged | CallStatusChanged)
    attempt = state.attempt
    assert decision.state == Pending(attempt=attempt, due_at=NOW, queue_expires_at=NOW + TERMS.dial_within)


def test_a_retry_without_a_delay_is_queued_at_once() -> None:
    terms = replace(TERMS, retry_delay=timedelta())
    decision = decide(DIALING, reported(TelephonyStatus.BUSY), terms, NOW)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Pending(attempt=1, due_at=NOW, queue_expires_at=NOW + TERMS.dial_within)


def test_a_due_call_waits_for_a_slot_and_is_dialled_when_it_has_one() -> None:
    pending = Pending(attempt=0, due_at=NOW)
    due = decide(pending, TimerDue(deadline_at=NOW), TERMS, NOW)
    assert isinstance(due, CallDue)
    assert due.state.deadline_at == NOW + TERMS.dial_within
    dialing = moved(due.state, inputs.AdmissionGranted(attempt=1))
    assert isinstance(dialing, Dialing)
    assert dialing.attempt == 1
    assert isinstance(decide(pending, inputs.AdmissionGranted(attempt=1), TERMS, NOW), Ignored), "not due"
    assert isinstance(decide(due.state, inputs.AdmissionGranted(attempt=2), TERMS, NOW), Ignored), (
        "another attempt's slot"
    )


def test_a_call_that_waits_for_a_slot_too_long_expires() -> None:
    queued = Pending(attempt=0, due_at=NOW - TERMS.dial_within, queue_expires_at=NOW)
    assert moved(queued, TimerDue(deadline_at=NOW)).status is CallStatus.EXPIRED
    late = decide(queued, inputs.AdmissionGranted(attempt=1), TERMS, NOW + timedelta(seconds=1))
    assert isinstance(late, CallStatusChanged)
    assert late.state.status is CallStatus.EXPIRED


def test_a_changed_queued_call_keeps_its_turn_until_it_is_not_due_any_more() -> None:
    queued = Pending(attempt=0, due_at=NOW - timedelta(minutes=5), queue_expires_at=LATER)
    for change in (inputs.CallChangeRequested(changes_terms=True), inputs.CallChangeRequested(scheduled_at=NOW)):
        decision = decide(queued, change, TERMS, NOW)
        assert isinstance(decision, CallChanged)
        expires_at = queued.due_at + TERMS.dial_within
        assert decision.state == Pending(attempt=0, due_at=queued.due_at, queue_expires_at=expires_at)
    later = decide(queued, inputs.CallChangeRequested(scheduled_at=LATER), TERMS, NOW)
    assert isinstance(later, CallChanged)
    assert later.state == Pending(attempt=0, due_at=LATER)


@pytest.mark.parametrize(
    "state",
    [
        Pending(attempt=0, due_at=NOW - timedelta(minutes=5), queue_expires_at=LATER),
        Pending(attempt=1, due_at=LATER),
        DIALING,
        TALKING,
    ],
)
def test_the_metadata_of_a_call_can_be_changed_until_it_ends_without_a_change_of_state(state: State) -> None:
    assert decide(state, inputs.CallChangeRequested(), TERMS, NOW) == CallChanged(state=state)  # type: ignore[arg-type]


def test_the_metadata_of_an_ended_call_cannot_be_changed() -> None:
    ended = Ended(status=CallStatus.COMPLETED, attempt=1, ended_at=NOW)
    assert isinstance(decide(ended, inputs.CallChangeRequested(), TERMS, NOW), Refused)


def test_a_retry_beyond_the_maximum_is_refused_with_its_code() -> None:
    ended = Ended(status=CallStatus.BUSY, attempt=TERMS.max_retries + 1, ended_at=NOW)
    refusal = decide(ended, inputs.CallRetryRequested(), TERMS, NOW)
    assert isinstance(refusal, Refused)
    assert refusal.code is RefusalCode.RETRIES_EXHAUSTED


def test_a_busy_call_is_retried_after_its_delay() -> None:
    assert moved(DIALING, reported(TelephonyStatus.BUSY)) == Pending(attempt=1, due_at=NOW + TERMS.retry_delay)


def test_max_retries_counts_the_dials_after_the_first() -> None:
    last = replace(DIALING, attempt=TERMS.max_retries + 1)
    after = moved(last, reported(TelephonyStatus.BUSY, attempt=last.attempt))
    assert isinstance(after, Ended)
    assert after.status is CallStatus.BUSY


def test_a_permanent_failure_is_not_retried() -> None:
    assert moved(DIALING, reported(TelephonyStatus.FAILED, is_permanent=True)).status is CallStatus.FAILED


@pytest.mark.parametrize("state", [DIALING, replace(TALKING, hangup_reason=HangupReason.CANCELED)])
def test_an_unknown_outcome_is_settled_and_never_dialled_again(state: Dialing | InProgress) -> None:
    seen: Dialing | Ringing | InProgress = state
    for _ in range(MAX_CHECKS):
        decision = decide(seen, TimerDue(deadline_at=seen.deadline_at), TERMS, seen.deadline_at)
        assert isinstance(decision, CallSettlementRequested)
        assert decision.state.deadline_at > seen.deadline_at
        seen = decision.state
    last = decide(seen, TimerDue(deadline_at=seen.deadline_at), TERMS, seen.deadline_at)
    assert isinstance(last, CallStatusChanged)
    assert last.state.status is CallStatus.FAILED


def test_an_attempt_that_the_provider_does_not_know_fails_after_several_checks() -> None:
    looked_up_nothing = inputs.DialLookedUp(attempt=1, status=None)
    assert isinstance(decide(replace(DIALING, settlement_checks=1), looked_up_nothing, TERMS, NOW), Ignored)
    assert moved(replace(DIALING, settlement_checks=3), looked_up_nothing).status is CallStatus.FAILED


def test_callbacks_out_of_order_never_move_a_call_back() -> None:
    assert isinstance(decide(TALKING, reported(TelephonyStatus.RINGING), TERMS, NOW), Ignored)
    assert moved(DIALING, reported(TelephonyStatus.COMPLETED)).status is CallStatus.COMPLETED


def test_a_call_canceled_while_it_rings_ends_canceled_for_every_network_status() -> None:
    decision = decide(DIALING, inputs.CallCancelRequested(), TERMS, NOW)
    assert isinstance(decision, CallHangupRequested)
    for status in (
        TelephonyStatus.BUSY,
        TelephonyStatus.NO_ANSWER,
        TelephonyStatus.CANCELED,
        TelephonyStatus.COMPLETED,
        TelephonyStatus.FAILED,
    ):
        assert moved(decision.state, reported(status)).status is CallStatus.CANCELED


def test_a_machine_leads_to_a_hangup_and_the_status_voicemail() -> None:
    decision = decide(TALKING, inputs.AnswerClassified(attempt=1, answered_by=AnsweredBy.MACHINE), TERMS, NOW)
    assert isinstance(decision, CallHangupRequested)
    assert moved(decision.state, reported(TelephonyStatus.COMPLETED)).status is CallStatus.VOICEMAIL


def test_a_call_that_lasts_too_long_is_hung_up() -> None:
    decision = at_deadline(TALKING)
    assert isinstance(decision, CallHangupRequested)
    assert decision.reason is HangupReason.TOO_LONG


def test_after_the_goodbye_was_played_the_line_is_closed() -> None:
    ended = inputs.ConversationEnded(attempt=1, disposition=Disposition.CONFIRMED, goodbye_seconds=3)
    decision = decide(TALKING, ended, TERMS, NOW)
    assert isinstance(decision, CallConcluded)
    assert NOW + timedelta(seconds=3) < decision.state.deadline_at < LATER
    closing = at_deadline(decision.state)
    assert isinstance(closing, CallHangupRequested)
    assert closing.reason is HangupReason.CONCLUDED


def test_a_manual_retry_is_refused_with_a_clear_reason_at_the_maximum() -> None:
    used_up = Ended(status=CallStatus.NO_ANSWER, attempt=TERMS.max_retries + 1, ended_at=NOW)
    decision = decide(used_up, inputs.CallRetryRequested(), TERMS, NOW)
    assert isinstance(decision, Refused)
    assert "max_retries is 1" in decision.reason


def test_an_older_timer_is_ignored() -> None:
    assert isinstance(decide(DIALING, TimerDue(deadline_at=NOW), TERMS, NOW), Ignored)


WITH_DEADLINE = {name: state for name, state in states().items() if state.deadline_at}


@pytest.mark.parametrize("state", WITH_DEADLINE.values(), ids=WITH_DEADLINE)
@given(early_seconds=st.floats(min_value=-86_400, max_value=3 * 86_400))
def test_a_timer_counts_only_when_its_deadline_has_passed(state: State, early_seconds: float) -> None:
    early_by = timedelta(seconds=early_seconds)
    assert isinstance(at_deadline(state, early_by), Ignored) == (early_by > EARLY_TOLERANCE)


def test_a_timer_that_was_set_for_a_later_time_does_not_count_before_the_deadline_either() -> None:
    assert isinstance(decide(DIALING, TimerDue(deadline_at=LATER + timedelta(days=1)), TERMS, NOW), Ignored)


@pytest.mark.parametrize(
    ("state", "reports"),
    [
        (DIALING, (TelephonyStatus.RINGING, TelephonyStatus.IN_PROGRESS)),
        (Ringing(attempt=1, dialed_at=NOW, deadline_at=LATER), (TelephonyStatus.IN_PROGRESS,)),
    ],
)
def test_a_concluded_call_whose_answer_is_reported_late_is_hung_up_after_the_goodbye(
    state: Dialing | Ringing, reports: tuple[TelephonyStatus, ...]
) -> None:
    ending = inputs.ConversationEnded(attempt=1, disposition=Disposition.CONFIRMED, goodbye_seconds=3)
    concluded = decide(state, ending, TERMS, NOW)
    assert isinstance(concluded, CallConcluded)
    goodbye_ends_at = NOW + timedelta(seconds=3) + GOODBYE_MARGIN
    assert concluded.state.deadline_at == goodbye_ends_at
    for status in reports:
        assert moved(concluded.state, reported(status)).deadline_at == goodbye_ends_at
    closing = at_deadline(concluded.state)
    assert isinstance(closing, CallHangupRequested), "also if no answer is reported at all"
    assert closing.reason is HangupReason.CONCLUDED
    assert moved(closing.state, reported(TelephonyStatus.COMPLETED)).status is CallStatus.COMPLETED


def test_a_dial_order_reaches_another_replica_before_the_shortest_deadline_of_an_attempt() -> None:
    assert VOICE_DIALS.ack_wait < MIN_RING_SECONDS + ANSWER_MARGIN.total_seconds()
    assert VOICE_DIALS.extends_ack_deadline, "an order may wait at the gate for longer"


def test_the_page_in_the_docs_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "state-machine.md"
    assert page.read_text() == document(), "run make docs"
