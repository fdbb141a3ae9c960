"""Limits how many calls wait for a slot: further requests that are due now are refused (docs/adr/0033).

The limit is not exact. Each replica counts the waiting calls of its fold, and the calls that it created within the last
second and does not find there yet. It does not count those that another replica creates at the same time.
"""

import time
from collections import deque
from collections.abc import Callable, Collection

import structlog

from call_orchestrator import metrics
from call_orchestrator.domain.decisions import Refused
from contracts.vocabulary import RefusalCode

LOG_SECONDS = 10.0
"""Refusals of this time are reported in one line."""
_SETTLE_SECONDS = 1.0

logger = structlog.get_logger()


class Backlog:
    """The calls that wait for a slot, and their limit. Without a limit, no request is refused.

    `waiting` returns the ids of the waiting calls.
    """

    def __init__(
        self,
        limit: int | None = None,
        waiting: Callable[[], Collection[str]] = tuple,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._waiting = waiting
        self._monotonic = monotonic
        self._created: deque[tuple[float, str]] = deque()
        self._refused = 0
        self._logged_at: float | None = None
        metrics.BACKLOG_LIMIT.set(float("inf") if limit is None else limit)

    def admit(self, call_id: str) -> Refused | None:
        """Returns why a new call that is due now is refused; None if it may wait."""
        if self._limit is None:
            return None
        now, waiting = self._monotonic(), self._waiting()
        while self._created and (self._created[0][0] <= now - _SETTLE_SECONDS or self._created[0][1] in waiting):
            self._created.popleft()
        if len(waiting) + len(self._created) < self._limit:
            self._created.append((now, call_id))
            return None
        reason = f"{self._limit} calls wait for a slot already (MAX_BACKLOG); request it again later"
        return Refused(reason, RefusalCode.BACKLOG_FULL)

    def report_refusal(self) -> None:
        """Counts one refused request, and logs how many there were every `LOG_SECONDS`."""
        now = self._monotonic()
        metrics.REFUSED_REQUESTS.labels(reason=RefusalCode.BACKLOG_FULL).inc()
        self._refused += 1
        if self._logged_at is None or now >= self._logged_at + LOG_SECONDS:
            logger.warning("backlog_full", limit=self._limit, refused=self._refused)
            self._refused, self._logged_at = 0, now
