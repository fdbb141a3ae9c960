"""The calls in progress whose last event this replica knows without a read.

Another replica may have appended an event since, so a recent call is only good for a guarded append. If that is stale,
it costs a conflict and nothing else. A decision that appends nothing has no guard, and needs a read from the leader
(ADR 18). With several replicas nearly every recent call is stale: after a conflict with another replica, none is used
for `UNUSED_AFTER_CONFLICT`.

A guard compares a sequence, not the event there. A log that was restored from a backup may have another event at the
same sequence, so calls from before a reconnection are not used.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from call_orchestrator.application.stored import StoredCall

MAX_RECENT_CALLS = 1_000
UNUSED_AFTER_CONFLICT = timedelta(minutes=1)


class RecentCalls:
    """The last event of each call, of those that this replica appended or read last. Ended calls are left out."""

    def __init__(self, reconnections: Callable[[], int]) -> None:
        """`reconnections`: how often the connection to the log was restored."""
        self._reconnections = reconnections
        self._since = reconnections()
        self._calls: OrderedDict[UUID, StoredCall] = OrderedDict()
        self._unused_until: datetime | None = None

    def note(self, stored: StoredCall) -> None:
        """Adds the call, or replaces an older event of it."""
        call_id = stored.call.call_id
        if stored.call.deadline_at is None:
            self.forget(call_id)
            return
        if (known := self._calls.get(call_id)) is None or known.sequence < stored.sequence:
            self._calls[call_id] = stored
            self._calls.move_to_end(call_id)
            if len(self._calls) > MAX_RECENT_CALLS:
                self._calls.popitem(last=False)

    def get(self, call_id: UUID, now: datetime) -> StoredCall | None:
        """Returns the call as this replica knows it, perhaps stale; None if it is not known or may not be used."""
        if (since := self._reconnections()) != self._since:
            self._since = since
            self._calls.clear()
        if self._unused_until and now < self._unused_until:
            return None
        return self._calls.get(call_id)

    def forget(self, call_id: UUID) -> None:
        """Removes the call."""
        self._calls.pop(call_id, None)

    def note_conflict(self, used: StoredCall, now: datetime) -> None:
        """Removes the call whose use led to a conflict. If no input of this replica appended first, another did."""
        if self._calls.get(used.call.call_id) is used:
            self.forget(used.call.call_id)
            self._unused_until = now + UNUSED_AFTER_CONFLICT
