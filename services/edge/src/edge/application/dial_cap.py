"""The daily cap of dials per API key: what a stolen key can cost at most, for all replicas together.

A request for a call reserves all dials that it may lead to: the first and its retries. A dial that is not made stays
reserved, so the cap bounds the cost and does not measure it. A day begins at 00:00 UTC.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from contracts import Call, CallChangeRequested, CallEvent, CallRequested, CallRetryRequested
from edge.application.errors import DailyCapReached
from edge.ports import DialCounter


def _now() -> datetime:
    return datetime.now(UTC)


class DialCap:
    """At most `max_dials` a day for each key; 0: no limit. `default_retries`: of a request that sets none."""

    def __init__(
        self,
        counter: DialCounter,
        *,
        max_dials: int,
        default_retries: int,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._counter = counter
        self._max_dials = max_dials
        self._default_retries = default_retries
        self._now = now

    def depends_on_campaign(self, request: CallRequested) -> bool:
        """Whether the terms of the campaign may determine how many dials of a request count."""
        return bool(self._max_dials) and request.max_retries is None

    def dials_of(self, request: CallRequested, max_attempts: int | None) -> int:
        """Returns the number of dials to which a request may lead. `max_attempts`: that of its campaign."""
        if request.max_retries is not None:
            return 1 + request.max_retries
        return 1 + self._default_retries if max_attempts is None else max_attempts

    async def reserve(self, key_name: str, dials: int, reservation_id: UUID | None = None) -> None:
        """Reserves dials for today. Reserving again with the same id reserves only what exceeds the earlier number.

        Raises DailyCapReached, and Unavailable if the counter cannot be read and written.
        """
        if not (self._max_dials and dials):
            return
        now = self._now()
        if await self._counter.add(key_name, now.date(), dials, self._max_dials, reservation_id):
            return
        raise DailyCapReached(self._max_dials, seconds_of_day_left(now))


def seconds_of_day_left(now: datetime) -> int:
    """Returns the seconds until the next day (UTC) begins, at least one."""
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return max(1, round((midnight - now).total_seconds()))


def further_dials(command: CallEvent, before: Call) -> int:
    """Returns the number of dials that a command adds to those that the call's request has reserved."""
    match command:
        case CallRetryRequested():
            return 1
        case CallChangeRequested(max_retries=int() as max_retries):
            return max(0, max_retries - before.max_retries)
    return 0
