"""The rule for an undialled attempt: the same dial is tried again after a pause, until it expires (ADR 16)."""

from datetime import datetime, timedelta

from call_orchestrator.domain.calling_policy import Forbidden, PutOff
from call_orchestrator.domain.decisions import CallStatusChanged
from call_orchestrator.domain.dial_times import dial_at, not_permitted
from call_orchestrator.domain.pauses import Pauses
from call_orchestrator.domain.states import Dialing, Ended, Pending, Terms
from contracts.vocabulary import CAMPAIGN_FINISHED, CallStatus

FIRST_PAUSE = timedelta(seconds=30)
MIN_PAUSE = timedelta(seconds=1)
MIN_FINAL_PAUSE = timedelta(minutes=5)
"""The pause grows at least to this, even if the retry delay is shorter, so a refused dial is not tried constantly."""
MAX_FINAL_PAUSE = timedelta(hours=1)
"""The pause grows at most to this, even if the retry delay is longer, so several tries fit in before the expiry."""
_MAX_DOUBLINGS = 20


def expiry_reason(reason: str | None) -> str:
    """Returns why a call expired; `reason`: why its last attempt was undialled, if it was."""
    return "it could not be dialled in time" + (f": {reason}" if reason else "")


def put_off(state: Dialing, reason: str, terms: Terms, now: datetime, pauses: Pauses) -> CallStatusChanged:
    """Returns the wait for the next attempt at the same dial, or the end of the call if that would be too late."""
    undialled_attempts, due_at = state.undialled_attempts + 1, now + pause(state.undialled_in_a_row, terms.retry_delay)
    dial_expires_at = state.dial_expires_at or state.dialed_at + terms.dial_within
    expires_at = pauses.extended(dial_expires_at, waits_since=dial_expires_at - terms.dial_within, now=now)
    is_too_late = due_at > expires_at and pauses.paused_since(now) is None
    if is_too_late or terms.is_campaign_finished:
        why = CAMPAIGN_FINISHED if terms.is_campaign_finished else expiry_reason(reason)
        return CallStatusChanged(state=_ended(state, CallStatus.EXPIRED, now), reason=why)
    permitted_at, permission = dial_at(terms.dial_times, due_at)
    if isinstance(permission, Forbidden):
        failed = _ended(state, CallStatus.FAILED, now)
        return CallStatusChanged(state=failed, reason=not_permitted(permission), permission=permission)
    waiting = Pending(
        attempt=state.attempt,
        due_at=permitted_at,
        undialled_attempts=undialled_attempts,
        undialled_in_a_row=state.undialled_in_a_row + 1,
        dial_expires_at=dial_expires_at + (permitted_at - due_at),
        reason=reason,
        retries=state.retries,
        callbacks=state.callbacks,
    )
    permission = permission if isinstance(permission, PutOff) else None
    return CallStatusChanged(state=waiting, reason=reason, permission=permission)


def _ended(state: Dialing, status: CallStatus, now: datetime) -> Ended:
    """Returns the end of the call after one more undialled attempt."""
    return Ended(
        status=status,
        attempt=state.attempt,
        ended_at=now,
        undialled_attempts=state.undialled_attempts + 1,
        retries=state.retries,
        callbacks=state.callbacks,
    )


def pause(undialled_in_a_row: int, retry_delay: timedelta) -> timedelta:
    """Returns the pause before the next attempt. It doubles each time, up to about the retry delay of the call."""
    first = max(min(FIRST_PAUSE, retry_delay), MIN_PAUSE)
    final = min(max(retry_delay, MIN_FINAL_PAUSE), MAX_FINAL_PAUSE)
    return min(first * (1 << min(undialled_in_a_row, _MAX_DOUBLINGS)), final)
