"""The account's pace, kept by all replicas together: an attempt is cleared before it is claimed and sent.

Each clearance is guarded by the last one of all, so the server puts them in one order and refuses whoever has not seen
the last. The claim that follows keeps its own guard, on the call: that nobody is dialled twice (law 4) does not lean on
the pace.
"""

import asyncio
from uuid import UUID

import structlog

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from contracts import DialCleared, DialPlaced, DialRefused, DialUnknown, Envelope
from voice.domain.rate_limit import Pace
from voice.metrics import DIAL_RATE_LIMIT, DIAL_WAIT_SECONDS, PERMIT_CONFLICTS
from voice.ports import DialEvents

_PAUSE_SECONDS = 1.0

logger = structlog.get_logger()


class RateLimiter:
    """One replica's part. `run` must run for anything to be cleared."""

    def __init__(self, pace: Pace, calls: EventLog, facts: DialEvents) -> None:
        self._pace = pace
        self._calls = calls
        self._facts = facts
        self._first_come = asyncio.Lock()
        self._news = asyncio.Event()
        self._passed = -1
        DIAL_RATE_LIMIT.set(pace.per_second)

    async def run(self) -> None:
        """Hears what is cleared and what comes of it, until cancelled."""
        while True:
            try:
                await self._hear()
            except Exception as error:
                logger.warning("pacing_interrupted", exc_info=error)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def clear(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        """Waits until the attempt may be sent, and says in the log that it may. Raises what prevents its being said."""
        with DIAL_WAIT_SECONDS.time():
            async with self._first_come:
                while not await self._try(call_id, attempt, cause):
                    PERMIT_CONFLICTS.inc()

    async def _try(self, call_id: UUID, attempt: int, cause: Envelope) -> bool:
        while (wait := self._wait()) > 0:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), wait)
            except TimeoutError:
                continue
        # Nothing is awaited between the look at the pace and here, so the guard is that of what was seen.
        self._passed, since = self._pace.last_clearance, self._pace.since()
        cleared = DialCleared(call_id=call_id, attempt=attempt, replay_from_sequence=since)
        try:
            await self._calls.append(cleared, cause=cause, guard=Guard(DialCleared.subjects(), self._passed))
        except Conflict:
            return False
        except BaseException:
            self._passed = -1  # it may not stand in the log, and then there is nothing to wait for
            raise
        return True

    def _wait(self) -> float:
        if self._pace.last_clearance <= self._passed:
            return _PAUSE_SECONDS  # what we, or those who were faster, have cleared is on its way to us
        return self._pace.wait(asyncio.get_running_loop().time())

    async def _hear(self) -> None:
        self._pace.forget()
        async with self._facts.follow() as batches:
            async for batch in batches:
                now = asyncio.get_running_loop().time()
                for recorded in batch:
                    self._take(recorded, now)
                self._news.set()

    def _take(self, recorded: StoredEvent, now: float) -> None:
        match recorded.event:
            case DialCleared(call_id=call_id, attempt=attempt):
                self._pace.cleared(recorded.sequence, str(call_id), attempt, now)
            case DialPlaced() | DialRefused() | DialUnknown() as outcome:
                self._pace.over(recorded.sequence, str(outcome.call_id), outcome.attempt, now)
