"""Ends the calls that wait when their campaign is finished.

The timer of each waiting call of the campaign fires early, and the call ends as `expired`. The schedules of the server
name the calls that wait, so the cost depends on them, and not on the length of the log. Live calls go on; they are not
retried (`call_orchestrator.domain.outcomes`).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from call_orchestrator.application.stored import load_call
from call_orchestrator.ports import Log, Timers
from chassis.retry_later import RetryLater
from contracts import CallStatus, CampaignFinished, Envelope

SETTLE = timedelta(seconds=2)
"""How long after a finish replicas may create or put off calls of the campaign, because they do not know it yet."""
_CALLS_AT_ONCE = 32

logger = structlog.get_logger()


class FinishNotKnown(RetryLater):
    """Other replicas may not have received the finish yet."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay=delay)


class FinishedCampaigns:
    """Ends the waiting calls of finished campaigns."""

    def __init__(self, log: Log, timers: Timers, now: Callable[[], datetime]) -> None:
        self._log = log
        self._timers = timers
        self._now = now

    async def end_waiting(self, finish: CampaignFinished, cause: Envelope) -> None:
        """Fires the timers of the waiting calls. Raises FinishNotKnown.

        A second delivery is harmless: the timers of calls that have ended meanwhile are not fired, or are ignored.
        """
        if (early := finish.occurred_at + SETTLE - self._now()) > timedelta():
            raise FinishNotKnown(early.total_seconds())
        count, calls = 0, list[UUID]()
        async for call_id in self._timers.calls():
            calls.append(call_id)
            if len(calls) == _CALLS_AT_ONCE:
                count += await self._end(calls, finish.campaign_id, cause)
                calls.clear()
        count += await self._end(calls, finish.campaign_id, cause)
        logger.info("waiting_calls_ended", campaign_id=finish.campaign_id, count=count)

    async def _end(self, call_ids: list[UUID], campaign_id: str, cause: Envelope) -> int:
        """Returns how many of the calls wait in the campaign."""
        return sum(await asyncio.gather(*(self._end_one(call_id, campaign_id, cause) for call_id in call_ids)))

    async def _end_one(self, call_id: UUID, campaign_id: str, cause: Envelope) -> bool:
        stored = await load_call(self._log, call_id)
        if stored is None or stored.call.campaign_id != campaign_id or stored.call.status is not CallStatus.PENDING:
            return False
        await self._timers.wake(stored.call, cause, is_campaign_finished=True)
        return True
