"""Somebody was reached, and we could not hold the conversation: the call has failed, and says why."""

from dataclasses import replace

import pytest

from call_orchestrator.domain.decisions import Moved
from call_orchestrator.domain.inputs import Network, NetworkReported
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Ended, Hangup, InProgress, Ringing, Status
from centralita.docs.state_machine import LATER, NOW, TERMS

TALKING = InProgress(
    attempt=1, dialed_at=NOW, deadline=LATER, answered_at=NOW, hangup=Hangup.CONCLUDED, disposition="technical_failure"
)
OVER = NetworkReported(attempt=1, status=Network.COMPLETED, duration_seconds=7)


def ended(state: InProgress | Ringing) -> Moved:
    decision = decide(state, OVER, TERMS, NOW)
    assert isinstance(decision, Moved)
    return decision


@pytest.mark.parametrize("hangup", [Hangup.CONCLUDED, None], ids=["we hung up", "they hung up"])
def test_a_conversation_that_failed_fails_the_call_whoever_hangs_up(hangup: Hangup | None) -> None:
    decision = ended(replace(TALKING, hangup=hangup))
    assert isinstance(decision.state, Ended)
    assert (decision.state.status, decision.state.disposition) == (Status.FAILED, "technical_failure")
    assert decision.reason == "technical_failure"


def test_who_was_talked_to_is_not_dialled_again_even_if_the_answer_was_never_reported() -> None:
    ringing = Ringing(attempt=1, dialed_at=NOW, deadline=LATER, disposition="technical_failure")
    assert isinstance(ended(ringing).state, Ended)


def test_any_other_conversation_completes_the_call() -> None:
    assert ended(replace(TALKING, disposition="declined")).state == Ended(
        status=Status.COMPLETED, attempt=1, ended_at=NOW, disposition="declined"
    )
