"""The callee was reached, but the conversation failed: the call fails with that disposition."""

from dataclasses import replace

import pytest

from call_orchestrator.domain.decisions import CallStatusChanged
from call_orchestrator.domain.inputs import TelephonyStatusReported
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Ended, InProgress, Ringing
from centralita.docs.state_machine import LATER, NOW, TERMS
from contracts.vocabulary import CallStatus, Disposition, HangupReason, TelephonyStatus

TALKING = InProgress(
    attempt=1,
    dialed_at=NOW,
    deadline_at=LATER,
    answered_at=NOW,
    hangup_reason=HangupReason.CONCLUDED,
    disposition=Disposition.TECHNICAL_FAILURE,
)
OVER = TelephonyStatusReported(attempt=1, status=TelephonyStatus.COMPLETED, duration_seconds=7)


def ended(state: InProgress | Ringing) -> CallStatusChanged:
    decision = decide(state, OVER, TERMS, NOW)
    assert isinstance(decision, CallStatusChanged)
    return decision


@pytest.mark.parametrize(
    "hangup_reason", [HangupReason.CONCLUDED, None], ids=["the system hung up", "the callee hung up"]
)
def test_a_failed_conversation_fails_the_call_on_either_hangup(hangup_reason: HangupReason | None) -> None:
    decision = ended(replace(TALKING, hangup_reason=hangup_reason))
    assert isinstance(decision.state, Ended)
    assert (decision.state.status, decision.state.disposition) == (CallStatus.FAILED, "technical_failure")
    assert decision.reason == "technical_failure"


def test_a_callee_who_was_reached_is_not_dialled_again_even_without_a_reported_answer() -> None:
    ringing = Ringing(attempt=1, dialed_at=NOW, deadline_at=LATER, disposition=Disposition.TECHNICAL_FAILURE)
    assert isinstance(ended(ringing).state, Ended)


def test_any_other_conversation_completes_the_call() -> None:
    assert ended(replace(TALKING, disposition=Disposition.DECLINED)).state == Ended(
        status=CallStatus.COMPLETED, attempt=1, ended_at=NOW, disposition=Disposition.DECLINED
    )
