"""How many calls waited for a slot at each time of a record. A full backlog is why a request may have no call."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate

from centralita.replay.call_history import CallHistory
from contracts.streams import MIN_BACKLOG_LIMIT


class WaitingCalls:
    """The number of waiting calls over time."""

    def __init__(self, histories: Iterable[CallHistory]) -> None:
        changes = sorted(change for history in histories for change in _changes(history))
        counts = list(accumulate(step for _, step in changes))
        self._times = [at for at, _ in changes]
        self._max_from = list(accumulate(reversed(counts), max))[::-1]

    def may_be_full_after(self, time: datetime) -> bool:
        """Whether the backlog may have been full when a request of this time was decided, which may be much later."""
        index = max(bisect_right(self._times, time) - 1, 0)
        return index < len(self._max_from) and self._max_from[index] >= MIN_BACKLOG_LIMIT


def _changes(history: CallHistory) -> Iterable[tuple[datetime, int]]:
    was_waiting = False
    for decision in history.decisions:
        if decision.event.call.is_queued is not was_waiting:
            was_waiting = not was_waiting
            yield decision.at, 1 if was_waiting else -1
