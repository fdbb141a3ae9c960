"""Translates between the contract's `Call`, which the log carries, and the domain's state, which decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict, assert_never

from call_orchestrator.domain import decisions
from call_orchestrator.domain.calling_policy import Permitted
from call_orchestrator.domain.states import (
    Callback,
    Dialing,
    Ended,
    InProgress,
    Live,
    LiveState,
    Message,
    Pending,
    Ringing,
    State,
)
from contracts import (
    Call,
    CallCallbackNoted,
    CallChanged,
    CallConcluded,
    CallCreated,
    CallDecision,
    CallDue,
    CallHangupRequested,
    CallMessageRequested,
    CallMessageStarted,
    CallMessageWithdrawn,
    CallPutOff,
    CallSettlementRequested,
    CallStatus,
    CallStatusChanged,
    CallTransferEnded,
    CallTransferStarted,
    Disposition,
    HangupReason,
)
from contracts.call import CallProgress, Permission
from contracts.dial_terms import NO_DIAL_TERMS, DialTerms
from contracts.vocabulary import VoicemailDelivery


def state_of(call: Call) -> State:
    """Returns the state in a snapshot. Raises ValueError if the snapshot lacks what its status needs."""
    if call.status is CallStatus.PENDING:
        return Pending(
            attempt=call.attempt,
            due_at=_present(call.due_at, "due_at"),
            queue_expires_at=_present(call.deadline_at, "deadline_at") if call.is_queued else None,
            undialled_attempts=call.undialled_attempts,
            undialled_in_a_row=call.undialled_in_a_row,
            dial_expires_at=call.dial_expires_at,
            reason=call.reason if call.undialled_in_a_row else None,
            retries=call.outcome_retries,
            callback=_callback_of(call),
            callbacks=call.callbacks,
        )
    if call.status.is_final:
        return Ended(
            status=call.status,
            attempt=call.attempt,
            ended_at=_present(call.ended_at, "ended_at"),
            disposition=call.disposition,
            undialled_attempts=call.undialled_attempts,
            retries=call.outcome_retries,
            callbacks=call.callbacks,
        )
    return _live_state(call)


class _LiveFields(TypedDict):
    attempt: int
    dialed_at: datetime
    deadline_at: datetime
    settlement_checks: int
    hangup_reason: HangupReason | None
    disposition: Disposition | None
    message: Message | None
    transfer_turn: int
    is_transferring: bool
    undialled_attempts: int
    retries: Mapping[str, int]
    callback: Callback | None
    callbacks: int


def _live_state(call: Call) -> Live:
    fields: _LiveFields = {
        "attempt": call.attempt,
        "dialed_at": _present(call.dialed_at, "dialed_at"),
        "deadline_at": _present(call.deadline_at, "deadline_at"),
        "settlement_checks": call.settlement_checks,
        "hangup_reason": call.hangup_reason,
        "disposition": call.disposition,
        "message": _message_of(call),
        "transfer_turn": call.transfer_turn,
        "is_transferring": call.is_transferring,
        "undialled_attempts": call.undialled_attempts,
        "retries": call.outcome_retries,
        "callback": _callback_of(call),
        "callbacks": call.callbacks,
    }
    if call.status is CallStatus.DIALING:
        return Dialing(**fields, undialled_in_a_row=call.undialled_in_a_row, dial_expires_at=call.dial_expires_at)
    if call.status is CallStatus.RINGING:
        return Ringing(**fields)
    return InProgress(**fields, answered_at=_present(call.answered_at, "answered_at"))


def _message_of(call: Call) -> Message | None:
    if call.voicemail_delivery is None:
        return None
    return Message(delivery=VoicemailDelivery(call.voicemail_delivery), is_after_beep=call.is_after_beep)


def _callback_of(call: Call) -> Callback | None:
    return None if call.callback_at is None else Callback(at=call.callback_at, number=call.callback_number)


def _present(instant: datetime | None, name: str) -> datetime:
    if instant is None:
        raise ValueError(f"the snapshot has no {name}")
    return instant


def call_after(before: Call, event: decisions.Event, now: datetime, campaign: DialTerms = NO_DIAL_TERMS) -> Call:
    """Returns the snapshot after an event. `campaign`: what of the campaign's terms the decision used."""
    state = event.state
    live = state if isinstance(state, LiveState) else None
    ended = state if isinstance(state, Ended) else None
    message = live.message if live else _message_of(before) if ended else None
    to_dial = state if isinstance(state, Pending | Dialing) else None
    callback = None if isinstance(state, Ended) else state.callback
    reason: str | None = before.reason
    duration_seconds = before.duration_seconds
    if isinstance(event, decisions.CallStatusChanged):
        reason, duration_seconds = event.reason, _talk_seconds(before, event)
    elif isinstance(event, decisions.CallHangupRequested):
        reason = event.reason
    progress: CallProgress = {
        "status": state.status,
        "attempt": state.attempt,
        "undialled_attempts": state.undialled_attempts,
        "undialled_in_a_row": to_dial.undialled_in_a_row if to_dial else 0,
        "outcome_retries": state.retries,
        "recent_dials": _recent_dials(before, state),
        "dial_expires_at": to_dial.dial_expires_at if to_dial else None,
        "due_at": state.due_at if isinstance(state, Pending) else None,
        "is_queued": isinstance(state, Pending) and state.queue_expires_at is not None,
        "deadline_at": state.deadline_at,
        "status_changed_at": before.status_changed_at if state.status is before.status else now,
        "dialed_at": live.dialed_at if live else before.dialed_at,
        "answered_at": _answered_at(before, state),
        "ended_at": ended.ended_at if ended else None,
        "duration_seconds": duration_seconds,
        "reason": reason,
        "disposition": None if isinstance(state, Pending) else state.disposition,
        "hangup_reason": live.hangup_reason if live else before.hangup_reason if ended else None,
        "settlement_checks": live.settlement_checks if live else 0,
        "permission": permission_of(event, campaign),
        "voicemail_delivery": message.delivery if message else None,
        "is_after_beep": message is not None and message.is_after_beep,
        "callback_at": callback.at if callback else None,
        "callback_number": callback.number if callback else 0,
        "callback_reason": before.callback_reason if callback else None,
        "callbacks": state.callbacks,
        "transfer_turn": live.transfer_turn if live else 0,
        "is_transferring": live is not None and live.is_transferring,
    }
    return before.after(progress)


def _talk_seconds(before: Call, event: decisions.CallStatusChanged) -> int | None:
    """Returns the talk time of all attempts that have ended; None while that of no attempt is known."""
    if event.duration_seconds is None:
        return before.duration_seconds
    return (before.duration_seconds or 0) + event.duration_seconds


def _recent_dials(before: Call, state: State) -> tuple[datetime, ...]:
    """Returns the dials of ended attempts that the daily limit of the call may count, the last one included."""
    most, is_ended = before.max_attempts_per_day, before.status.is_live and not state.status.is_live
    is_undialled = state.undialled_attempts > before.undialled_attempts
    if most is None or not is_ended or is_undialled or before.dialed_at is None:
        return before.recent_dials
    return (*before.recent_dials, before.dialed_at)[-most:]


def permission_of(
    decision: decisions.Event | decisions.Refused, campaign: DialTerms = NO_DIAL_TERMS
) -> Permission | None:
    """Returns what the calling policy said, if it was asked, and what of the campaign's terms it was asked with."""
    if not isinstance(
        decision,
        decisions.CallCreated
        | decisions.CallStatusChanged
        | decisions.CallPutOff
        | decisions.CallChanged
        | decisions.CallCallbackNoted
        | decisions.Refused,
    ):
        return None
    if decision.permission is None:
        return None
    permission, reason = decision.permission, decision.permission.reason
    return Permission(
        rule=reason.rule,
        detail=reason.detail,
        policy_version=reason.policy_version,
        campaign=campaign,
        until=permission.until if isinstance(permission, Permitted) else None,
    )


def _answered_at(before: Call, state: State) -> datetime | None:
    if isinstance(state, InProgress):
        return state.answered_at
    return before.answered_at if isinstance(state, Ended) else None


def event_of(
    event: decisions.Event,
    before: Call,
    now: datetime,
    changed: tuple[str, ...] = (),
    campaign: DialTerms = NO_DIAL_TERMS,
) -> CallDecision:
    """Returns the message of an event, with the call after it. `changed`: the fields that a command changes."""
    call = call_after(before, event, now, campaign)
    match event:
        case decisions.CallCreated():
            return CallCreated(call=call, occurred_at=now)
        case decisions.CallStatusChanged():
            return CallStatusChanged(
                call=call,
                occurred_at=now,
                previous=before.status,
                status=call.status,
                attempt=call.attempt,
                reason=event.reason,
                next_attempt_at=call.due_at,
            )
        case decisions.CallDue():
            return CallDue(call=call, occurred_at=now)
        case decisions.CallPutOff():
            return CallPutOff(call=call, occurred_at=now)
        case decisions.CallChanged():
            return CallChanged(call=call, occurred_at=now, changed=changed)
        case decisions.CallConcluded():
            return CallConcluded(call=call, occurred_at=now)
        case decisions.CallHangupRequested():
            return CallHangupRequested(call=call, occurred_at=now)
        case decisions.CallMessageRequested():
            return CallMessageRequested(call=call, occurred_at=now)
        case decisions.CallMessageStarted():
            return CallMessageStarted(call=call, occurred_at=now)
        case decisions.CallMessageWithdrawn():
            return CallMessageWithdrawn(call=call, occurred_at=now)
        case decisions.CallCallbackNoted():
            return CallCallbackNoted(call=call, occurred_at=now)
        case decisions.CallTransferStarted():
            return CallTransferStarted(call=call, occurred_at=now)
        case decisions.CallTransferEnded():
            return CallTransferEnded(call=call, occurred_at=now)
        case decisions.CallSettlementRequested():
            return CallSettlementRequested(call=call, occurred_at=now)
        case _:
            assert_never(event)
