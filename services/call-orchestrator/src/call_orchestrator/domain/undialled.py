"""The law of an attempt that never rang: it was no dial, so the dial is still to be made, after a while and in time."""

from datetime import datetime, timedelta

from call_orchestrator.domain.decisions import Moved
from call_orchestrator.domain.states import Dialing, Ended, Pending, Terms
from contracts.vocabulary import CallStatus

FIRST_PAUSE = timedelta(seconds=30)
SHORTEST_PAUSE = timedelta(seconds=1)
LEAST_AT_LAST = timedelta(minutes=5)
"""For calls whose own delay is shorter: what is refused for a day is not asked for all day long."""
MAX_AT_LAST = timedelta(hours=1)
"""For calls whose own delay is longer: the time in which the dial may be made is not slept through."""
_DOUBLINGS = 20


def too_late(reason: str | None) -> str:
    """Why a call expires; `reason`: why it was refused last, if it was."""
    return "it could not be dialled in time" + (f": {reason}" if reason else "")


def put_off(state: Dialing, reason: str, terms: Terms, now: datetime) -> Moved:
    """The wait for the next attempt at the same dial; the end, if that would come too late."""
    never_rang, due_at = state.undialled_attempts + 1, now + pause(state.undialled_in_a_row, terms.retry_delay)
    dial_expires_at = state.dial_expires_at or state.dialed_at + terms.dial_within
    if due_at > dial_expires_at:
        ended = Ended(status=CallStatus.EXPIRED, attempt=state.attempt, ended_at=now, undialled_attempts=never_rang)
        return Moved(state=ended, reason=too_late(reason))
    waiting = Pending(
        attempt=state.attempt,
        due_at=due_at,
        undialled_attempts=never_rang,
        undialled_in_a_row=state.undialled_in_a_row + 1,
        dial_expires_at=dial_expires_at,
        reason=reason,
    )
    return Moved(state=waiting, reason=reason)


def pause(refusals: int, retry_delay: timedelta) -> timedelta:
    """How long to wait after one more refusal: twice as long each time, at last as long as after a busy line."""
    first = max(min(FIRST_PAUSE, retry_delay), SHORTEST_PAUSE)
    at_last = min(max(retry_delay, LEAST_AT_LAST), MAX_AT_LAST)
    return min(first * (1 << min(refusals, _DOUBLINGS)), at_last)
