"""Between the contract's `Call` (what the log carries) and the domain's state and terms (what decides)."""

from datetime import datetime, timedelta
from typing import Any, assert_never

from call_orchestrator.domain.decisions import (
    Changed,
    Concluded,
    Created,
    Due,
    Event,
    HangupAsked,
    Moved,
    SettlementAsked,
)
from call_orchestrator.domain.states import (
    Dialing,
    Ended,
    InProgress,
    Line,
    Pending,
    Ringing,
    State,
    Terms,
)
from contracts import (
    Call,
    CallChanged,
    CallConcluded,
    CallCreated,
    CallDecision,
    CallDue,
    CallHangupRequested,
    CallSettlementRequested,
    CallStatus,
    CallStatusChanged,
)


def terms_of(call: Call, dial_within: timedelta) -> Terms:
    """What was agreed for the call."""
    return Terms(
        max_retries=call.max_retries,
        retry_delay=timedelta(seconds=call.retry_delay_seconds),
        ring_time=timedelta(seconds=call.call_timeout_seconds),
        max_talk=timedelta(seconds=call.max_call_seconds),
        dial_within=dial_within,
    )


def state_of(call: Call) -> State:
    """The state that a snapshot stands for. Raises ValueError at a snapshot that lacks what its status needs."""
    status = call.status
    if status is CallStatus.PENDING:
        until = _given(call.deadline_at, "deadline_at") if call.is_queued else None
        return Pending(
            attempt=call.attempt,
            due_at=_given(call.due_at, "due_at"),
            queue_expires_at=until,
            undialled_attempts=call.undialled_attempts,
            undialled_in_a_row=call.undialled_in_a_row,
            dial_expires_at=call.dial_expires_at,
            reason=call.reason if call.undialled_in_a_row else None,
        )
    if status.is_final:
        return Ended(
            status=status,
            attempt=call.attempt,
            ended_at=_given(call.ended_at, "ended_at"),
            disposition=call.disposition,
            undialled_attempts=call.undialled_attempts,
        )
    line: dict[str, Any] = {
        "attempt": call.attempt,
        "dialed_at": _given(call.dialed_at, "dialed_at"),
        "deadline_at": _given(call.deadline_at, "deadline_at"),
        "settlement_checks": call.settlement_checks,
        "hangup_reason": call.hangup_reason,
        "disposition": call.disposition,
        "undialled_attempts": call.undialled_attempts,
    }
    if status is CallStatus.DIALING:
        return Dialing(**line, undialled_in_a_row=call.undialled_in_a_row, dial_expires_at=call.dial_expires_at)
    if status is CallStatus.RINGING:
        return Ringing(**line)
    return InProgress(**line, answered_at=_given(call.answered_at, "answered_at"))


def snapshot(call: Call, state: State, *, now: datetime, reason: str | None, duration: int | None) -> Call:
    """The call after an event that led to `state`."""
    line = state if isinstance(state, Line) else None
    to_dial = state if isinstance(state, Pending | Dialing) else None
    ended = state if isinstance(state, Ended) else None
    answered_at = call.answered_at if ended else None
    if isinstance(state, InProgress):
        answered_at = state.answered_at
    return call.model_copy(
        update={
            "status": state.status,
            "attempt": state.attempt,
            "undialled_attempts": state.undialled_attempts,
            "undialled_in_a_row": to_dial.undialled_in_a_row if to_dial else 0,
            "dial_expires_at": to_dial.dial_expires_at if to_dial else None,
            "due_at": state.due_at if isinstance(state, Pending) else None,
            "is_queued": isinstance(state, Pending) and state.queue_expires_at is not None,
            "deadline_at": state.deadline_at,
            "status_changed_at": call.status_changed_at if state.status is call.status else now,
            "dialed_at": line.dialed_at if line else call.dialed_at,
            "answered_at": answered_at,
            "ended_at": ended.ended_at if ended else None,
            "duration_seconds": duration,
            "reason": reason,
            "disposition": line.disposition if line else ended.disposition if ended else None,
            "hangup_reason": line.hangup_reason if line else call.hangup_reason if ended else None,
            "settlement_checks": line.settlement_checks if line else 0,
        }
    )


def event_of(decided: Event, before: Call, now: datetime, changed: tuple[str, ...]) -> CallDecision:
    """The message that says what was decided, with the call as it stands after it. `before`: the call until now."""
    reason = decided.reason if isinstance(decided, Moved | HangupAsked) else before.reason
    duration = decided.duration_seconds if isinstance(decided, Moved) else before.duration_seconds
    call = snapshot(before, decided.state, now=now, reason=reason, duration=duration)
    match decided:
        case Created():
            return CallCreated(call=call, occurred_at=now)
        case Moved():
            return CallStatusChanged(
                call=call,
                occurred_at=now,
                previous=before.status,
                status=call.status,
                attempt=call.attempt,
                reason=decided.reason,
                next_attempt_at=call.due_at,
            )
        case Due():
            return CallDue(call=call, occurred_at=now)
        case Changed():
            return CallChanged(call=call, occurred_at=now, changed=changed)
        case Concluded():
            return CallConcluded(call=call, occurred_at=now)
        case HangupAsked():
            return CallHangupRequested(call=call, occurred_at=now)
        case SettlementAsked():
            return CallSettlementRequested(call=call, occurred_at=now)
        case _:
            assert_never(decided)


def _given(instant: datetime | None, name: str) -> datetime:
    if instant is None:
        raise ValueError(f"a snapshot without {name}")
    return instant
