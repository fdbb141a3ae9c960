"""Which timers count: those of the present deadline, when it has passed."""

from datetime import datetime, timedelta

from call_orchestrator.domain.decisions import Ignored
from call_orchestrator.domain.inputs import TimerDue

EARLY_TOLERANCE = timedelta(seconds=1)
"""A timer may be this early: the server keeps deadlines to the second, and its time is known with a small error."""


def outdated_or_early(timer: TimerDue, deadline_at: datetime, now: datetime) -> Ignored | None:
    """Returns why the timer does not count for a state with this deadline; None if it counts.

    The effects of an ignored timer set it again, at the deadline of the state.
    """
    if timer.deadline_at < deadline_at:
        return Ignored("an older deadline")
    if now < deadline_at - EARLY_TOLERANCE:
        return Ignored("the deadline has not passed; the timer is set again")
    return None
