"""How many calls waited for a slot at each time of a record. A full backlog is why a request may have no call."""

from array import array
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from uuid import UUID

from contracts.streams import MIN_BACKLOG_LIMIT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WaitingCalls:
    """The number of waiting calls over time. Add the decisions of a call in their order; then ask."""

    def __init__(self) -> None:
        self._waiting: set[UUID] = set()
        self._changes = array("q")
        """Microseconds since 1970, times two; plus one if a call began to wait. A departure is before an arrival."""
        self._max_from = array("q")
        """For each change, in the order of time, the highest number of waiting calls from then on."""

    def add(self, call_id: UUID, at: datetime, *, is_waiting: bool) -> None:
        """Adds a decision after which the call waits, or does not."""
        if is_waiting is not (call_id in self._waiting):
            self._changes.append(2 * _microseconds(at) + is_waiting)
            (self._waiting.add if is_waiting else self._waiting.discard)(call_id)

    def may_be_full_after(self, time: datetime) -> bool:
        """Whether the backlog may have been full when a request of this time was decided, which may be much later."""
        if len(self._max_from) != len(self._changes):
            self._changes = array("q", sorted(self._changes))
            counts = array("q", accumulate(1 if change % 2 else -1 for change in self._changes))
            self._max_from = array("q", list(accumulate(reversed(counts), max))[::-1])
        index = max(bisect_right(self._changes, 2 * _microseconds(time) + 1) - 1, 0)
        return index < len(self._max_from) and self._max_from[index] >= MIN_BACKLOG_LIMIT


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
