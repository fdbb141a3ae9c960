"""The end of an attempt: the final status of the call, or a retry."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self, assert_never

from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallStatusChanged, Decision
from call_orchestrator.domain.states import Ended, InProgress, Live, Pending, Terms, dials
from contracts.vocabulary import CallStatus, Disposition, HangupReason, TelephonyStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known about the end of an attempt beside its status."""

    reason: str | None = None
    is_permanent: bool = False
    duration_seconds: int | None = None

    @classmethod
    def reported(cls, report: inputs.TelephonyStatusReported) -> Self:
        """Returns the outcome that a callback reports."""
        return cls(reason=report.reason, is_permanent=report.is_permanent, duration_seconds=report.duration_seconds)


def end_attempt(state: Live, status: TelephonyStatus, outcome: Outcome, terms: Terms, now: datetime) -> Decision:
    """Returns the end of the call, or the wait for a retry if the callee was not reached and retries remain."""
    final_status, reason = _final_status(state, status, outcome.reason)
    is_unreached = final_status in (CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED)
    is_unreached = is_unreached and not isinstance(state, InProgress)
    may_retry = is_unreached and not outcome.is_permanent and state.hangup_reason is None and state.disposition is None
    after: Pending | Ended = _ended(state, final_status, now)
    if may_retry and dials(state) <= terms.max_retries:
        after = Pending(
            attempt=state.attempt, due_at=now + terms.retry_delay, undialled_attempts=state.undialled_attempts
        )
    return CallStatusChanged(state=after, reason=reason or final_status, duration_seconds=outcome.duration_seconds)


def _final_status(state: Live, status: TelephonyStatus, reason: str | None) -> tuple[CallStatus, str | None]:
    """Returns the status of the call at the end of an attempt, and its reason.

    The first that applies determines them: the disposition (if the network reports ``completed``), the reason of our
    hang-up, the network's status.
    """
    if state.disposition is not None and status is TelephonyStatus.COMPLETED:
        is_failed = state.disposition is Disposition.TECHNICAL_FAILURE
        return CallStatus.FAILED if is_failed else CallStatus.COMPLETED, reason or state.disposition
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


def fail_as_unknown(state: Live, now: datetime) -> Decision:
    """Ends the call without a retry: the phone may have rung (law 9)."""
    return CallStatusChanged(
        state=_ended(state, CallStatus.FAILED, now), reason="outcome unknown: the network cannot say"
    )


def _ended(state: Live, status: CallStatus, now: datetime) -> Ended:
    return Ended(
        status=status,
        attempt=state.attempt,
        ended_at=now,
        disposition=state.disposition,
        undialled_attempts=state.undialled_attempts,
    )
