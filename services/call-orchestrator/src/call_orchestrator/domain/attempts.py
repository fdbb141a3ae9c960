"""The laws of an attempt under way: what the network, the conversation, people and the clock make of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from call_orchestrator.domain.decisions import (
    Concluded,
    Decision,
    HangupAsked,
    Ignored,
    Moved,
    Refused,
    SettlementAsked,
)
from call_orchestrator.domain.inputs import (
    Admitted,
    AnswerClassified,
    CancelRequested,
    ChangeRequested,
    ConversationEnded,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Input,
    NetworkReported,
    Requested,
    RetryRequested,
    TimerDue,
)
from call_orchestrator.domain.states import (
    Dialing,
    Ended,
    InProgress,
    Live,
    Pending,
    Ringing,
    Terms,
    dials,
)
from call_orchestrator.domain.undialled import put_off
from contracts.vocabulary import AnsweredBy, CallStatus, Disposition, HangupReason, TelephonyStatus

FIRST_WAIT = timedelta(seconds=30)
"""How long the network has to carry out a hang-up, or to answer a question, before the next question."""
MAX_WAIT = timedelta(hours=1)
UNKNOWN_TO_NETWORK = 3
"""After so many questions, an attempt that the network knows nothing of is given up: not dialled again (law 9)."""
MAX_CHECKS = 12
"""After so many questions (about five hours) without a final answer the outcome is given up as unknown."""
GOODBYE_MARGIN = timedelta(seconds=4)


def decide_live(state: Live, told: Input, terms: Terms, now: datetime) -> Decision:
    """What follows while an attempt is under way."""
    match told:
        case TimerDue():
            return _overdue(state, told, now)
        case CancelRequested():
            return _cancel(state, now)
        case RetryRequested():
            return Refused(f"the call is {state.status}; it can be retried when it has ended")
        case ChangeRequested():
            return Refused(f"the call is {state.status}; only a call that waits can be changed")
        case Requested():
            return Ignored("the call exists")
        case _ if told.attempt != state.attempt:
            return Ignored("a fact of another attempt")
        case Admitted():
            return Ignored("it has its slot")
        case DialPlaced() | DialUnknown():
            return Ignored("the network will say what became of it, or be asked at the deadline")
        case DialRefused():
            return _never_rang(state, told, terms, now)
        case NetworkReported():
            return _network(state, told, terms, now)
        case AnswerClassified():
            return _answered_by(state, told.answered_by, now)
        case ConversationEnded():
            return _concluded(state, told, now)
        case _:
            assert_never(told)


def _overdue(state: Live, told: TimerDue, now: datetime) -> Decision:
    if told.deadline_at < state.deadline_at:
        return Ignored("an older deadline")
    if isinstance(state, InProgress) and state.hangup_reason is None:
        return _hang_up(state, HangupReason.CONCLUDED if state.disposition else HangupReason.TOO_LONG, now)
    if state.settlement_checks >= MAX_CHECKS:
        return _give_up(state, now)
    wait = min(FIRST_WAIT * 2**state.settlement_checks, MAX_WAIT)
    return SettlementAsked(state=replace(state, settlement_checks=state.settlement_checks + 1, deadline_at=now + wait))


def _cancel(state: Live, now: datetime) -> Decision:
    if state.hangup_reason is not None:
        return Refused("the line is being closed already")
    return _hang_up(state, HangupReason.CANCELED, now)


def _hang_up(state: Live, reason: HangupReason, now: datetime) -> Decision:
    return HangupAsked(state=replace(state, hangup_reason=reason, deadline_at=now + FIRST_WAIT), reason=reason)


def _answered_by(state: Live, answered_by: AnsweredBy, now: datetime) -> Decision:
    if state.hangup_reason is not None:
        return Ignored("the line is being closed already")
    match answered_by:
        case AnsweredBy.MACHINE:
            return _hang_up(state, HangupReason.VOICEMAIL, now)
        case AnsweredBy.FAX:
            return _hang_up(state, HangupReason.FAX, now)
        case AnsweredBy.HUMAN | AnsweredBy.UNKNOWN:
            return Ignored("the conversation goes on")
        case _:
            assert_never(answered_by)


def _concluded(state: Live, told: ConversationEnded, now: datetime) -> Decision:
    if state.disposition is not None or state.hangup_reason is not None:
        return Ignored("the conversation is over already")
    heard = now + timedelta(seconds=told.goodbye_seconds) + GOODBYE_MARGIN
    until = min(state.deadline_at, heard) if isinstance(state, InProgress) else state.deadline_at
    return Concluded(state=replace(state, disposition=told.disposition, deadline_at=until))


def _never_rang(state: Live, told: DialRefused, terms: Terms, now: datetime) -> Decision:
    if not isinstance(state, Dialing):
        return Ignored("the network has said that it rang")
    if told.is_permanent or state.hangup_reason is not None or state.disposition is not None:
        uncounted = replace(state, undialled_attempts=state.undialled_attempts + 1)
        return _close(uncounted, TelephonyStatus.FAILED, terms, now, reason=told.reason, is_permanent=True)
    return put_off(state, told.reason, terms, now)


def _network(state: Live, told: NetworkReported, terms: Terms, now: datetime) -> Decision:
    match told.status:
        case None:
            lost = state.settlement_checks >= UNKNOWN_TO_NETWORK
            return _give_up(state, now) if lost else Ignored("asked again at the next deadline")
        case TelephonyStatus.QUEUED | TelephonyStatus.INITIATED:
            return Ignored("not ringing yet")
        case TelephonyStatus.RINGING:
            return _rang(state, now)
        case TelephonyStatus.IN_PROGRESS:
            return _answered(state, told, terms, now)
        case (
            TelephonyStatus.COMPLETED
            | TelephonyStatus.BUSY
            | TelephonyStatus.NO_ANSWER
            | TelephonyStatus.FAILED
            | TelephonyStatus.CANCELED
        ):
            return _close(
                state,
                told.status,
                terms,
                now,
                reason=told.reason,
                is_permanent=told.is_permanent,
                duration_seconds=told.duration_seconds,
            )
        case _:
            assert_never(told.status)


def _rang(state: Live, now: datetime) -> Decision:
    if not isinstance(state, Dialing):
        return Ignored("it rang before")
    return Moved(
        state=Ringing(
            attempt=state.attempt,
            dialed_at=state.dialed_at,
            deadline_at=max(state.deadline_at, now + FIRST_WAIT),
            settlement_checks=state.settlement_checks,
            hangup_reason=state.hangup_reason,
            disposition=state.disposition,
            undialled_attempts=state.undialled_attempts,
        )
    )


def _answered(state: Live, told: NetworkReported, terms: Terms, now: datetime) -> Decision:
    if isinstance(state, InProgress):
        if told.looked_up and state.hangup_reason is not None:
            return _hang_up(state, state.hangup_reason, now)
        return Ignored("it was answered before")
    until = now + terms.max_talk if state.hangup_reason is None else max(state.deadline_at, now + FIRST_WAIT)
    return Moved(
        state=InProgress(
            attempt=state.attempt,
            dialed_at=state.dialed_at,
            answered_at=now,
            deadline_at=until,
            hangup_reason=state.hangup_reason,
            disposition=state.disposition,
            undialled_attempts=state.undialled_attempts,
        )
    )


def _close(
    state: Live,
    status: TelephonyStatus,
    terms: Terms,
    now: datetime,
    *,
    reason: str | None = None,
    is_permanent: bool = False,
    duration_seconds: int | None = None,
) -> Decision:
    """The attempt is over: the end of the call, or the wait for the next one."""
    name, why = _name_of_end(state, status, reason)
    unreached = name in (CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED) and not isinstance(state, InProgress)
    again = unreached and not is_permanent and state.hangup_reason is None and state.disposition is None
    if again and dials(state) <= terms.max_retries:
        waiting = Pending(
            attempt=state.attempt, due_at=now + terms.retry_delay, undialled_attempts=state.undialled_attempts
        )
        return Moved(state=waiting, reason=why or name, duration_seconds=duration_seconds)
    return Moved(state=_ended(state, name, now), reason=why or name, duration_seconds=duration_seconds)


def _name_of_end(state: Live, status: TelephonyStatus, reason: str | None) -> tuple[CallStatus, str | None]:
    if state.disposition is not None and status is TelephonyStatus.COMPLETED:
        failed = state.disposition is Disposition.TECHNICAL_FAILURE
        return CallStatus.FAILED if failed else CallStatus.COMPLETED, reason or state.disposition
    match state.hangup_reason:
        case HangupReason.CANCELED:
            return CallStatus.CANCELED, "canceled by request"
        case HangupReason.VOICEMAIL:
            return CallStatus.VOICEMAIL, "a machine answered"
        case HangupReason.FAX:
            return CallStatus.FAILED, "a fax machine answered"
        case HangupReason.TOO_LONG:
            return CallStatus.COMPLETED, "the longest call time was reached"
        case HangupReason.CONCLUDED | None:
            return CallStatus(status.value), reason
        case _:
            assert_never(state.hangup_reason)


def _give_up(state: Live, now: datetime) -> Decision:
    """Fail closed: the phone may have rung, so this attempt is not repeated."""
    return Moved(state=_ended(state, CallStatus.FAILED, now), reason="outcome unknown: the network cannot say")


def _ended(state: Live, status: CallStatus, now: datetime) -> Ended:
    return Ended(
        status=status,
        attempt=state.attempt,
        ended_at=now,
        disposition=state.disposition,
        undialled_attempts=state.undialled_attempts,
    )
