"""Limits how many calls wait for a slot: further requests that are due now are refused (docs/adr/0033).

Calls of closed campaigns wait for as long as a pause lasts, or until the campaign starts. So they count only against
their own campaign, and never stop the requests of the others.

The limit is not exact. Each replica counts the waiting calls of its fold, and the calls that it created within the last
second and does not find there yet. It does not count those that another replica creates at the same time.

nats-server delivers a request again if it is not acknowledged in time, also while it waits in this process. A copy of a
refused request is refused again, although the backlog may have room by then: its requester has the outcome already.
"""

import time
from collections import deque
from collections.abc import Callable

import structlog

from call_orchestrator import metrics
from call_orchestrator.domain.decisions import Refused
from call_orchestrator.domain.slots import Slots
from contracts import Call
from contracts.vocabulary import RefusalCode

LOG_SECONDS = 10.0
"""Refusals of this time are reported in one line."""
MAX_REMEMBERED = 10_000
"""Refused requests that are recognized when they are delivered again: more than may be delivered at a time."""
_SETTLE_SECONDS = 1.0

logger = structlog.get_logger()


class Backlog:
    """The calls that wait for a slot, and their limit. Without a limit or without `slots`, no request is refused."""

    def __init__(
        self,
        limit: int | None = None,
        slots: Slots | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._slots = slots
        self._monotonic = monotonic
        self._created: deque[tuple[float, Call]] = deque()
        self._refused: dict[int, None] = {}
        self._unlogged = 0
        self._logged_at: float | None = None
        metrics.BACKLOG_LIMIT.set(float("inf") if limit is None else limit)

    def check(self, call: Call, sequence: int | None) -> Refused | None:
        """Returns why a new call that is due now is refused; None if it may wait. `sequence`: that of its request."""
        if self._limit is None or self._slots is None:
            return None
        if sequence in self._refused or self._count(self._slots, call.campaign_id) >= self._limit:
            reason = f"{self._limit} calls wait for a slot already (MAX_BACKLOG); request it again later"
            return Refused(reason, RefusalCode.BACKLOG_FULL)
        return None

    def note_created(self, call: Call) -> None:
        """Counts a new call that waits until it is found among the waiting calls."""
        if call.is_queued and self._limit is not None:
            self._created.append((self._monotonic(), call))

    def _count(self, slots: Slots, campaign_id: str) -> int:
        """Returns how many calls count for a request of this campaign."""
        settled_at = self._monotonic() - _SETTLE_SECONDS
        while self._created and (
            self._created[0][0] <= settled_at or str(self._created[0][1].call_id) in slots.waiting
        ):
            self._created.popleft()
        closed = slots.closed or set()
        if campaign_id in closed:
            created = sum(call.campaign_id == campaign_id for _, call in self._created)
            return slots.waiting_in([campaign_id]) + created
        created = sum(call.campaign_id not in closed for _, call in self._created)
        return len(slots.waiting) - slots.waiting_in(closed) + created

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
