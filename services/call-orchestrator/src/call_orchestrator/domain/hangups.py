"""The request to close the line of an attempt."""

from dataclasses import replace
from datetime import datetime, timedelta

from call_orchestrator.domain.decisions import CallHangupRequested
from call_orchestrator.domain.states import Live
from contracts.vocabulary import HangupReason

FIRST_WAIT = timedelta(seconds=30)
"""How long the network has to carry out a hang-up or to answer a settlement question before the next question."""


def hang_up(state: Live, reason: HangupReason, now: datetime) -> CallHangupRequested:
    """Returns the request to close the line."""
    return CallHangupRequested(state=replace(state, hangup_reason=reason, deadline_at=now + FIRST_WAIT), reason=reason)
