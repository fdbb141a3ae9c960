"""Enforces the account's rate limit of dials for all replicas together (theory: `domain.rate_limit`).

A permit, `dial.cleared`, is appended before the claim. All permits are on one subject, and the guard of each is the
last one: the server puts permits in one order, and refuses a replica that has not seen the last one. Permits of older
builds are on other subjects, which the guard does not cover; a replica permits nothing before it has read them. The
claim has a guard of its own, on the call, so at-most-once dialling does not depend on the rate limit.
"""

import asyncio
from uuid import UUID

import structlog

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent, UnreadableEvent
from chassis.live import Incomplete
from chassis.unreadable import UnreadableEvents
from contracts import DialCleared, DialPlaced, DialRefused, DialUnknown, Envelope
from voice.domain.rate_limit import RateLimit
from voice.metrics import DIAL_RATE_LIMIT, DIAL_WAIT_SECONDS, PERMIT_CONFLICTS
from voice.ports import DialEvents

_PAUSE_SECONDS = 1.0
_NONE = -1

logger = structlog.get_logger()


class DialRateLimiter:
    """Grants permits to one replica's attempts, in order of request. `run` must run meanwhile."""

    def __init__(self, rate_limit: RateLimit, calls: EventLog, events: DialEvents) -> None:
        self._rate_limit = rate_limit
        self._calls = calls
        self._events = events
        self._unreadable = UnreadableEvents("rate-limiter")
        self._first = asyncio.Lock()
        self._changed = asyncio.Event()
        self._guard_sequence = _NONE
        """The last permit that was used as a guard. Its successor exists, and must arrive before the next append."""
        DIAL_RATE_LIMIT.set(rate_limit.per_second)

    async def run(self) -> None:
        """Follows the permits and outcomes of all replicas until it is cancelled."""
        while True:
            try:
                await self._follow()
            except UnreadableEvent as error:  # until a build that can decode it runs, this replica permits nothing
                self._unreadable.report(error)
                await asyncio.sleep(_PAUSE_SECONDS)
            except Incomplete as error:
                logger.warning("rate_limiter_interrupted", reason=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception as error:
                logger.warning("rate_limiter_interrupted", exc_info=error)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def acquire(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        """Waits until the attempt may be dialled, and appends its permit. Raises the error of the append.

        An attempt that gets an outcome while it waits gets no permit: its claim will fail.
        """
        with DIAL_WAIT_SECONDS.time():
            async with self._first:
                while not await self._try_append(call_id, attempt, cause):
                    PERMIT_CONFLICTS.inc()

    async def _try_append(self, call_id: UUID, attempt: int, cause: Envelope) -> bool:
        """Waits, then appends a permit. Returns false if another replica appended one first."""
        await self._wait_for_room(call_id, attempt)
        if self._rate_limit.has_outcome(str(call_id), attempt):
            return True
        # Nothing is awaited between reading the rate limit and here, so the guard matches what was read.
        self._guard_sequence = self._rate_limit.guard_sequence
        permit = DialCleared(
            call_id=call_id, attempt=attempt, replay_from_sequence=self._rate_limit.replay_from_sequence
        )
        try:
            await self._calls.append(permit, cause=cause, guard=Guard(DialCleared.subjects(), self._guard_sequence))
        except Conflict:
            return False
        except BaseException:
            self._guard_sequence = _NONE  # the permit may be missing in the log; then its arrival must not be awaited
            raise
        return True

    async def _wait_for_room(self, call_id: UUID, attempt: int) -> None:
        while not self._rate_limit.has_outcome(str(call_id), attempt) and (seconds := self._wait_seconds()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                continue

    def _wait_seconds(self) -> float:
        if not self._rate_limit.is_current or self._rate_limit.guard_sequence <= self._guard_sequence:
            return _PAUSE_SECONDS  # the last permit, or the one that followed the guard, has not arrived yet
        return self._rate_limit.wait_seconds(asyncio.get_running_loop().time())

    async def _follow(self) -> None:
        self._rate_limit.restart()
        async with self._events.follow() as (last, batches):
            self._rate_limit.begin(last.sequence if last else 0, is_chained=last is None or last.is_chained)
            self._changed.set()
            async for batch in batches:
                now = asyncio.get_running_loop().time()
                for stored in batch:
                    self._apply(stored, now)
                self._changed.set()

    def _apply(self, stored: StoredEvent, now: float) -> None:
        match stored.event:
            case DialCleared(call_id=call_id, attempt=attempt):
                self._rate_limit.add_permit(stored.sequence, str(call_id), attempt, now)
            case DialPlaced() | DialRefused() | DialUnknown() as outcome:
                self._rate_limit.add_outcome(stored.sequence, str(outcome.call_id), outcome.attempt, now)
