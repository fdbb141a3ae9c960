"""The opt-out key concludes the conversation, also after another disposition, and the line is closed soon after."""

from dataclasses import replace
from datetime import timedelta

import pytest

from call_orchestrator.domain import inputs
from call_orchestrator.domain.attempts import GOODBYE_MARGIN
from call_orchestrator.domain.decisions import CallConcluded, CallHangupRequested, CallStatusChanged, Ignored
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Dialing, InProgress, Live, Message, Pending
from centralita.docs.state_machine import LATER, NOW, RETRY_POLICY_TERMS, TERMS
from contracts.vocabulary import CallStatus, Disposition, HangupReason, RetryOutcome, TelephonyStatus

DIALING = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER)
TALKING = InProgress(attempt=1, dialed_at=NOW, deadline_at=NOW + TERMS.max_talk, answered_at=NOW)
PRESSED = inputs.OptOutKeyPressed(attempt=1)
COMPLETED = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.COMPLETED)


@pytest.mark.parametrize(
    "state",
    [
        DIALING,
        TALKING,
        replace(TALKING, disposition=Disposition.CONFIRMED, deadline_at=NOW),
        replace(TALKING, message=Message()),
    ],
    ids=["before the report of the answer", "talking", "during the goodbye", "taken for a machine"],
)
def test_the_key_ends_the_conversation_as_an_opt_out(state: Live) -> None:
    concluded = decide(state, PRESSED, TERMS, NOW)
    assert isinstance(concluded, CallConcluded)
    assert (concluded.state.disposition, concluded.state.message) == (Disposition.OPT_OUT, None)
    spoken_at = NOW + timedelta(seconds=inputs.OPT_OUT_PHRASE_SECONDS) + GOODBYE_MARGIN
    assert concluded.state.deadline_at == spoken_at
    assert isinstance(decide(concluded.state, PRESSED, TERMS, NOW), Ignored)
    closing = decide(concluded.state, inputs.TimerDue(deadline_at=spoken_at), TERMS, spoken_at)
    if not isinstance(state, Dialing):
        assert isinstance(closing, CallHangupRequested)
    ended = decide(concluded.state, COMPLETED, RETRY_POLICY_TERMS, NOW)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.COMPLETED, "opt_out")


def test_the_key_changes_nothing_on_a_line_that_is_being_closed_and_in_another_attempt() -> None:
    assert isinstance(decide(replace(TALKING, hangup_reason=HangupReason.CANCELED), PRESSED, TERMS, NOW), Ignored)
    assert isinstance(decide(replace(TALKING, attempt=2), PRESSED, TERMS, NOW), Ignored)


def test_a_call_that_waits_after_an_early_hang_up_ends() -> None:
    waiting = Pending(attempt=1, due_at=LATER, retries={RetryOutcome.HUNG_UP_EARLY: 1})
    ended = decide(waiting, PRESSED, RETRY_POLICY_TERMS, NOW)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.COMPLETED, "opt_out")
