"""Limits how many calls wait for a slot: further requests that are due now are refused (docs/adr/0033).

The limit is not exact. Each replica counts the waiting calls of its fold, and the calls that it created within the last
second and does not find there yet. It does not count those that another replica creates at the same time.

nats-server delivers a request again if it is not acknowledged in time, also while it waits in this process. A copy of a
refused request is refused again, although the backlog may have room by then: its requester has the outcome already.
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
MAX_REMEMBERED = 10_000
"""Refused requests that are recognized when they are delivered again: more than may be delivered at a time."""
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
        self._refused: dict[int, None] = {}
        self._unlogged = 0
        self._logged_at: float | None = None
        metrics.BACKLOG_LIMIT.set(float("inf") if limit is None else limit)

    def admit(self, call_id: str, sequence: int | None) -> Refused | None:
        """Returns why a new call that is due now is refused; None if it may wait. `sequence`: that of its request."""
        if self._limit is None:
            return None
        reason = f"{self._limit} calls wait for a slot already (MAX_BACKLOG); request it again later"
        refusal = Refused(reason, RefusalCode.BACKLOG_FULL)
        if sequence in self._refused:
            return refusal
        now, waiting = self._monotonic(), self._waiting()
        while self._created and (self._created[0][0] <= now - _SETTLE_SECONDS or self._created[0][1] in waiting):
            self._created.popleft()
        if len(waiting) + len(self._created) < self._limit:
            self._created.append((now, call_id))
            return None
        return refusal

    def report_refusal(self, sequence: int | None) -> None:
        """Remembers and counts one refused request, and logs how many there were every `LOG_SECONDS`."""
        now = self._monotonic()
        if sequence in self._refused:
            return
        if sequence is not None:
            self._refused[sequence] = None
            if len(self._refused) > MAX_REMEMBERED:
                del self._refused[next(iter(self._refused))]
        metrics.REFUSED_REQUESTS.labels(reason=RefusalCode.BACKLOG_FULL).inc()
        self._unlogged += 1
        if self._logged_at is None or now >= self._logged_at + LOG_SECONDS:
            logger.warning("backlog_full", limit=self._limit, refused=self._unlogged)
            self._unlogged, self._logged_at = 0, now
