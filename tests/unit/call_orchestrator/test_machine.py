"""The laws of a call, and every state asked about every input."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from call_orchestrator.domain import inputs
from call_orchestrator.domain.attempts import MAX_CHECKS
from call_orchestrator.domain.decisions import (
    Changed,
    Concluded,
    Created,
    Due,
    HangupAsked,
    Ignored,
    Moved,
    Refused,
    SettlementAsked,
)
from call_orchestrator.domain.inputs import Network, NetworkReported, TimerDue
from call_orchestrator.domain.machine import create, decide, evolve
from call_orchestrator.domain.states import (
    Dialing,
    Ended,
    Hangup,
    InProgress,
    Pending,
    Ringing,
    State,
    Status,
    deadline,
    dials,
)
from centralita.docs.state_machine import LATER, NOW, TERMS, Case, cases, document

DIALING = Dialing(attempt=1, dialed_at=NOW, deadline=LATER)
TALKING = InProgress(attempt=1, dialed_at=NOW, deadline=LATER, answered_at=NOW)
ALL = list(cases())


def reported(status: Network, *, attempt: int = 1, permanent: bool = False) -> NetworkReported:
    return NetworkReported(attempt=attempt, status=status, permanent=permanent, duration_seconds=7)


def moved(state: State, told: inputs.Input) -> Pending | Dialing | Ringing | InProgress | Ended:
    decision = decide(state, told, TERMS, NOW)
    assert isinstance(decision, Moved), decision
    return decision.state


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.state_name}-{case.input_name}")
def test_every_state_answers_every_input_within_the_laws(case: Case) -> None:
    decision = case.decision
    if isinstance(decision, Ignored | Refused):
        assert decision.reason
        return
    after = evolve(case.state, decision)
    assert (deadline(after) is None) == isinstance(after, Ended), "every state but the last has one deadline"
    if isinstance(case.state, Ended):
        assert isinstance(case.told, inputs.RetryRequested), "only a person's request brings a call back"
    begins = isinstance(after, Dialing) and not isinstance(case.state, Dialing)
    assert after.attempt == case.state.attempt + begins, "an attempt begins only with a dial"
    assert dials(after) <= TERMS.max_retries + 1 or not begins, "never more dials than agreed"
    if begins:
        assert isinstance(case.state, Pending)
        assert isinstance(case.told, inputs.Admitted), "only a slot lets a call be dialled"


def test_each_status_is_reached() -> None:
    reached = {case.decision.state.status for case in ALL if isinstance(case.decision, Moved)}
    assert reached == set(Status)


def test_a_call_waits_for_its_time_and_one_without_a_time_is_due_at_once() -> None:
    assert create(inputs.Requested(scheduled_at=LATER), NOW) == Created(state=Pending(attempt=0, due_at=LATER))
    assert create(inputs.Requested(), NOW).state.due_at == NOW
    assert create(inputs.Requested(scheduled_at=NOW - timedelta(days=1)), NOW).state.due_at == NOW


def test_a_call_whose_time_has_come_waits_for_a_slot_and_is_dialled_when_it_has_one() -> None:
    pending = Pending(attempt=0, due_at=NOW)
    due = decide(pending, TimerDue(deadline=NOW), TERMS, NOW)
    assert isinstance(due, Due)
    assert due.state.deadline == NOW + TERMS.dial_within
    dialing = moved(due.state, inputs.Admitted(attempt=1))
    assert isinstance(dialing, Dialing)
    assert dialing.attempt == 1
    assert isinstance(decide(pending, inputs.Admitted(attempt=1), TERMS, NOW), Ignored), "it is not its time"
    assert isinstance(decide(due.state, inputs.Admitted(attempt=2), TERMS, NOW), Ignored), "another attempt's slot"


def test_a_call_that_waits_for_a_slot_too_long_expires() -> None:
    queued = Pending(attempt=0, due_at=NOW - TERMS.dial_within, queued_until=NOW)
    assert moved(queued, TimerDue(deadline=NOW)).status is Status.EXPIRED
    late = decide(queued, inputs.Admitted(attempt=1), TERMS, NOW + timedelta(seconds=1))
    assert isinstance(late, Moved)
    assert late.state.status is Status.EXPIRED


def test_a_change_of_a_queued_call_takes_it_out_of_the_queue_but_not_out_of_its_turn() -> None:
    queued = Pending(attempt=0, due_at=NOW - timedelta(minutes=5), queued_until=LATER)
    for change in (inputs.ChangeRequested(terms=True), inputs.ChangeRequested(scheduled_at=NOW)):
        decision = decide(queued, change, TERMS, NOW)
        assert isinstance(decision, Changed)
        assert decision.state == Pending(attempt=0, due_at=queued.due_at)
    later = decide(queued, inputs.ChangeRequested(scheduled_at=LATER), TERMS, NOW)
    assert isinstance(later, Changed)
    assert later.state.due_at == LATER


def test_a_busy_line_is_tried_again_after_its_delay() -> None:
    assert moved(DIALING, reported(Network.BUSY)) == Pending(attempt=1, due_at=NOW + TERMS.retry_delay)


def test_max_retries_counts_the_dials_after_the_first() -> None:
    last = replace(DIALING, attempt=TERMS.max_retries + 1)
    after = moved(last, reported(Network.BUSY, attempt=last.attempt))
    assert isinstance(after, Ended)
    assert after.status is Status.BUSY


def test_a_number_that_cannot_be_dialled_is_not_tried_again() -> None:
    assert moved(DIALING, reported(Network.FAILED, permanent=True)).status is Status.FAILED


@pytest.mark.parametrize("state", [DIALING, replace(TALKING, hangup=Hangup.CANCELED)])
def test_an_unknown_outcome_is_asked_for_and_never_dialled_again(state: Dialing | InProgress) -> None:
    seen: Dialing | Ringing | InProgress = state
    for _ in range(MAX_CHECKS):
        decision = decide(seen, TimerDue(deadline=seen.deadline), TERMS, NOW)
        assert isinstance(decision, SettlementAsked)
        assert decision.state.deadline > NOW
        seen = decision.state
    assert moved(seen, TimerDue(deadline=seen.deadline)).status is Status.FAILED


def test_an_attempt_that_the_network_does_not_know_is_given_up_only_after_several_questions() -> None:
    unheard = NetworkReported(attempt=1, status=None, looked_up=True)
    assert isinstance(decide(replace(DIALING, checks=1), unheard, TERMS, NOW), Ignored)
    assert moved(replace(DIALING, checks=3), unheard).status is Status.FAILED


def test_callbacks_out_of_order_never_move_a_call_back() -> None:
    assert isinstance(decide(TALKING, reported(Network.RINGING), TERMS, NOW), Ignored)
    assert moved(DIALING, reported(Network.COMPLETED)).status is Status.COMPLETED


def test_a_call_canceled_while_it_rings_ends_canceled_whatever_the_network_says() -> None:
    decision = decide(DIALING, inputs.CancelRequested(), TERMS, NOW)
    assert isinstance(decision, HangupAsked)
    for status in (Network.BUSY, Network.NO_ANSWER, Network.CANCELED, Network.COMPLETED, Network.FAILED):
        assert moved(decision.state, reported(status)).status is Status.CANCELED


def test_a_machine_is_hung_up_on_and_the_call_ends_as_voicemail() -> None:
    decision = decide(TALKING, inputs.AnswerClassified(attempt=1, answerer=inputs.Answerer.MACHINE), TERMS, NOW)
    assert isinstance(decision, HangupAsked)
    assert moved(decision.state, reported(Network.COMPLETED)).status is Status.VOICEMAIL


def test_a_call_that_lasts_too_long_is_hung_up() -> None:
    decision = decide(TALKING, TimerDue(deadline=LATER), TERMS, NOW)
    assert isinstance(decision, HangupAsked)
    assert decision.reason is Hangup.TOO_LONG


def test_after_the_goodbye_has_been_heard_the_line_is_closed() -> None:
    ended = inputs.ConversationEnded(attempt=1, disposition="confirmed", goodbye_seconds=3)
    decision = decide(TALKING, ended, TERMS, NOW)
    assert isinstance(decision, Concluded)
    assert NOW + timedelta(seconds=3) < decision.state.deadline < LATER
    closing = decide(decision.state, TimerDue(deadline=decision.state.deadline), TERMS, NOW)
    assert isinstance(closing, HangupAsked)
    assert closing.reason is Hangup.CONCLUDED


def test_a_manual_retry_is_refused_with_a_clear_reason_at_the_maximum() -> None:
    used_up = Ended(status=Status.NO_ANSWER, attempt=TERMS.max_retries + 1, ended_at=NOW)
    decision = decide(used_up, inputs.RetryRequested(), TERMS, NOW)
    assert isinstance(decision, Refused)
    assert "max_retries is 1" in decision.reason


def test_an_older_timer_changes_nothing() -> None:
    assert isinstance(decide(DIALING, TimerDue(deadline=NOW), TERMS, NOW), Ignored)


def test_the_page_in_the_docs_is_what_the_code_does() -> None:
    page = Path(__file__).parents[3] / "docs" / "state-machine.md"
    assert page.read_text() == document(), "run make docs"
