"""The pace of campaigns: how many calls of each are granted a slot per minute. A fold of the grants; pure.

The time of a grant is that at which the server stored it, so all replicas compute the same. After a grant, the next
one of the campaign is permitted an interval later. A grant is stored a little after it is permitted, and that must not
add up. So a grant that is late by at most `CATCH_UP` counts as if it had been stored when it was permitted.

In no minute has a campaign more than ``calls_per_minute`` grants, rounded up. Let `n` grants follow a grant at `t`. The
last of them is not permitted before ``t - CATCH_UP + n * interval``. It is stored at most the error of a replica's
clock earlier. The interval is ``(60 s + MARGIN) / calls_per_minute``, and `MARGIN` covers catch-up and error. So if the
last is stored within 60 s after `t`, then ``n < calls_per_minute``.

A grant that leads to no dial does not count: its call was put off, or no longer waited. What was before it counts.

A replica that restarts reads the log from the first grant that still delays another one (`first_sequence`). It does not
know how late that grant was, so the first grant that it reads of a campaign counts as if it had not been late.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from call_orchestrator.domain.priorities import Priorities

CATCH_UP = timedelta(seconds=0.4)
MARGIN = timedelta(seconds=0.5)
"""`CATCH_UP`, and the error of a replica's estimate of the server's time."""
MAX_CAMPAIGNS = 10_000
"""Of how many campaigns the last grant is kept: those with the newest ones."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Grant:
    """The last grant of a campaign. `counts_at`: from when the next interval counts, `counted_before`: without it."""

    sequence: int
    granted_at: datetime
    counts_at: datetime
    counted_before: datetime


class Paces:
    """The last grants of campaigns, and which campaigns wait for their pace. Every operation costs O(log n)."""

    def __init__(self) -> None:
        self._intervals: dict[str, timedelta] = {}
        self._grants: OrderedDict[str, _Grant] = OrderedDict()
        self._waiting: Priorities[str, datetime] = Priorities()
        self._sequences: Priorities[str, int] = Priorities()
        """The grants of the waiting campaigns."""

    @property
    def next_at(self) -> datetime | None:
        """When the next grant of a waiting campaign is permitted; None if none waits."""
        item = self._waiting.first_item()
        return None if item is None else item[0]

    @property
    def first_sequence(self) -> int | None:
        """The first grant that delays another one; None if none does."""
        item = self._sequences.first_item()
        return None if item is None else item[0]

    def is_waiting(self, campaign_id: str) -> bool:
        """Whether the pace of the campaign permits no grant yet."""
        return campaign_id in self._waiting

    def update(self, campaign_id: str, calls_per_minute: float | None) -> None:
        """Sets the pace of a campaign; None: it has none. The next grant is permitted by the new pace."""
        if calls_per_minute is None:
            self._intervals.pop(campaign_id, None)
        else:
            self._intervals[campaign_id] = (timedelta(minutes=1) + MARGIN) / calls_per_minute
        self._wait(campaign_id)

    def count(self, campaign_id: str, sequence: int, granted_at: datetime) -> None:
        """Counts a grant, also of a campaign whose pace is unknown. A grant that is read again changes nothing."""
        last = self._grants.get(campaign_id)
        if last and granted_at <= last.granted_at:
            return
        before = last.counts_at if last else _LONG_AGO
        permitted_at = before + self._intervals.get(campaign_id, timedelta())
        counts_at = max(permitted_at, granted_at - CATCH_UP) if last else granted_at
        self._grants[campaign_id] = _Grant(sequence, granted_at, counts_at, before)
        self._grants.move_to_end(campaign_id)
        if len(self._grants) > MAX_CAMPAIGNS:
            self._grants.popitem(last=False)
        self._wait(campaign_id)

    def undo(self, campaign_id: str, sequence: int) -> None:
        """Lets a grant not count, if it is the last one of its campaign."""
        last = self._grants.get(campaign_id)
        if last and last.sequence == sequence:
            self._grants[campaign_id] = replace(last, counts_at=last.counted_before)
            self._wait(campaign_id)

    def due(self, now: datetime) -> list[str]:
        """Returns the campaigns whose next grant is permitted now. They no longer wait."""
        due = []
        while (item := self._waiting.first_item()) and item[0] <= now:
            due.append(item[1])
            self._stop_waiting(item[1])
        return due

    def _wait(self, campaign_id: str) -> None:
        interval, last = self._intervals.get(campaign_id), self._grants.get(campaign_id)
        if interval is None or last is None:
            self._stop_waiting(campaign_id)
            return
        self._waiting.set(campaign_id, last.counts_at + interval)
        self._sequences.set(campaign_id, last.sequence)

    def _stop_waiting(self, campaign_id: str) -> None:
        self._waiting.remove(campaign_id)
        self._sequences.remove(campaign_id)
