"""Transfers: the call gets time for them, and completes or goes on, in each order of its events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from call_orchestrator.domain import inputs
from call_orchestrator.domain.attempts import decide_live
from call_orchestrator.domain.decisions import (
    CallConcluded,
    CallHangupRequested,
    CallStatusChanged,
    CallTransferEnded,
    CallTransferStarted,
    Decision,
    Ignored,
    Refused,
)
from call_orchestrator.domain.pauses import NO_PAUSES
from call_orchestrator.domain.states import Ended, InProgress, Live, Ringing, Terms
from call_orchestrator.domain.transfers import HANGUP_MARGIN, MIN_TALK_AFTER, TRANSFER_MARGIN
from contracts.transfers import TransferStatus
from contracts.vocabulary import AnsweredBy, CallStatus, Disposition, HangupReason, TelephonyStatus

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TERMS = Terms(
    max_retries=1,
    retry_delay=HOUR,
    ring_time=timedelta(seconds=30),
    max_talk=timedelta(minutes=10),
    dial_within=HOUR,
)
TALKING = InProgress(attempt=1, dialed_at=NOW, answered_at=NOW, deadline_at=NOW + TERMS.max_talk)
STARTED = inputs.TransferStarted(attempt=1, turn=2, longest=HOUR)
ANSWERED = inputs.TransferAnswered(attempt=1, turn=2, is_accepted=True)
REFUSED = inputs.TransferAnswered(attempt=1, turn=2, is_accepted=False)
HUNG_UP = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.COMPLETED, duration_seconds=90)


def ended(status: TransferStatus, turn: int = 2) -> inputs.TransferEnded:
    return inputs.TransferEnded(attempt=1, turn=turn, status=status)


def decided(state: Live, input: inputs.Input, now: datetime = NOW) -> Decision:
    return decide_live(state, input, TERMS, now, NO_PAUSES)


def after(*happened: inputs.Input, state: Live = TALKING, now: datetime = NOW) -> Live:
    for input in happened:
        decision = decided(state, input, now)
        if not isinstance(decision, Ignored):
            assert not isinstance(decision, Refused)
            assert isinstance(decision.state, InProgress | Ringing), decision
            state = decision.state
    return state


def test_a_transfer_gives_the_call_the_time_that_it_needs() -> None:
    decision = decided(TALKING, STARTED)
    assert isinstance(decision, CallTransferStarted)
    assert decision.state.deadline_at == NOW + HOUR + TRANSFER_MARGIN
    assert decision.state.status is CallStatus.IN_PROGRESS, "so it keeps its slot"
    late = replace(TALKING, deadline_at=NOW + TERMS.max_talk)
    timer = inputs.TimerDue(deadline_at=late.deadline_at)
    assert isinstance(decided(decision.state, timer, NOW + TERMS.max_talk), Ignored), "the old deadline is over"


def test_a_callee_who_is_connected_has_the_disposition_at_each_end_of_the_call() -> None:
    connected = after(STARTED, ANSWERED)
    assert connected.disposition is Disposition.TRANSFERRED
    assert connected.deadline_at <= NOW + HOUR + TRANSFER_MARGIN
    decision = decided(connected, HUNG_UP)
    assert isinstance(decision, CallStatusChanged)
    assert isinstance(decision.state, Ended)
    assert (decision.state.status, decision.state.disposition) == (CallStatus.COMPLETED, Disposition.TRANSFERRED)


@pytest.mark.parametrize("happened", [(STARTED,), (STARTED, ANSWERED), (ANSWERED, STARTED), ()])
def test_the_end_of_a_completed_transfer_closes_the_line(happened: tuple[inputs.Input, ...]) -> None:
    decision = decided(after(*happened), ended(TransferStatus.COMPLETED))
    assert isinstance(decision, CallConcluded)
    assert decision.state.disposition is Disposition.TRANSFERRED
    assert decision.state.deadline_at == NOW + HANGUP_MARGIN
    assert not decision.state.is_transferring
    timer = inputs.TimerDue(deadline_at=decision.state.deadline_at)
    assert isinstance(decided(decision.state, timer, decision.state.deadline_at), CallHangupRequested)


@pytest.mark.parametrize("status", [one for one in TransferStatus if one is not TransferStatus.COMPLETED])
def test_after_a_transfer_that_connected_no_person_the_conversation_goes_on(status: TransferStatus) -> None:
    decision = decided(after(STARTED, REFUSED), ended(status))
    assert isinstance(decision, CallTransferEnded)
    assert decision.state.disposition is None
    assert decision.state.deadline_at == TALKING.answered_at + TERMS.max_talk
    much_later = NOW + HOUR
    late = decided(after(STARTED), ended(status), much_later)
    assert isinstance(late, CallTransferEnded)
    assert late.state.deadline_at == much_later + MIN_TALK_AFTER, "the agent has time to say so"


def test_events_that_arrive_twice_late_or_out_of_order_change_nothing() -> None:
    over = after(STARTED, ended(TransferStatus.BUSY))
    for late in (STARTED, ANSWERED, ended(TransferStatus.BUSY), ended(TransferStatus.COMPLETED)):
        assert isinstance(decided(over, late), Ignored)
    assert after(ended(TransferStatus.BUSY), STARTED) == over, "its end has overtaken its beginning"
    second = after(replace(STARTED, turn=4), state=over)
    assert second.is_transferring
    assert isinstance(decided(second, ended(TransferStatus.COMPLETED)), Ignored), "that is the end of the first one"
    concluded = replace(TALKING, disposition=Disposition.CONFIRMED)
    assert isinstance(decided(concluded, STARTED), Ignored)
    assert isinstance(decided(replace(TALKING, hangup_reason=HangupReason.CANCELED), STARTED), Ignored)


def test_a_transfer_that_was_started_before_the_report_of_the_answer_keeps_its_deadline() -> None:
    ringing = Ringing(attempt=1, dialed_at=NOW, deadline_at=NOW + timedelta(seconds=50))
    begun = after(STARTED, state=ringing)
    answered = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.IN_PROGRESS)
    talking = after(answered, state=begun)
    assert isinstance(talking, InProgress)
    assert (talking.is_transferring, talking.transfer_turn) == (True, 2)
    assert talking.deadline_at == begun.deadline_at


def test_an_operator_ends_a_transferred_call() -> None:
    for state in (after(STARTED), after(STARTED, ANSWERED)):
        decision = decided(state, inputs.CallCancelRequested())
        assert isinstance(decision, CallHangupRequested)
        assert decision.reason is HangupReason.CANCELED


def test_a_transfer_whose_end_is_never_reported_is_hung_up_at_its_limit() -> None:
    for state in (after(STARTED), after(STARTED, ANSWERED)):
        decision = decided(state, inputs.TimerDue(deadline_at=state.deadline_at), state.deadline_at)
        assert isinstance(decision, CallHangupRequested)


def test_a_late_verdict_of_detection_does_not_interrupt_a_transfer() -> None:
    verdict = inputs.AnswerClassified(attempt=1, answered_by=AnsweredBy.MACHINE)
    assert isinstance(decided(after(STARTED), verdict), Ignored)
    assert isinstance(decided(TALKING, verdict), CallHangupRequested)
