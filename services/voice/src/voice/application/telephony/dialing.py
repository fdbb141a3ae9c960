"""Dialling: the claim, at most one request, and what came of it (law 4)."""

import asyncio
import random
from contextlib import nullcontext
from uuid import UUID

import structlog

from chassis.event_log import EventLog, StoredEvent
from contracts import CallDecision, CallStatus, CallStatusChanged, DialPlaced, DialRefused, DialUnknown, Envelope
from contracts.call import Call
from contracts.streams import call_state_filter
from telephony.dial_failures import DialFailed, FailureClass
from voice.application.speech.greetings import Greetings
from voice.application.telephony.attempts import (
    CALLED_OFF,
    CLAIM_PATIENCE_SECONDS,
    DIAL_BUDGET_SECONDS,
    StillDialing,
    claim_attempt,
    is_claimed,
    load_attempt,
)
from voice.application.telephony.dial_gate import DialGate
from voice.metrics import DIALS
from voice.ports import DialOrder, DialRateLimiter, Telephony

MAX_PAUSE_SECONDS = 8.0

Outcome = DialPlaced | DialRefused | DialUnknown

logger = structlog.get_logger()


class Dialing:
    """Dials what the orchestrator has decided to dial."""

    def __init__(
        self,
        calls: EventLog,
        telephony: Telephony,
        greetings: Greetings,
        *,
        hold: DialGate | None = None,
        clearance: DialRateLimiter | None = None,
        budget: float = DIAL_BUDGET_SECONDS,
        patience: float = CLAIM_PATIENCE_SECONDS,
    ) -> None:
        """Without a `hold`, however the provider is; without a `clearance`, at any pace."""
        self._hold = hold
        self._clearance = clearance
        self._calls = calls
        self._telephony = telephony
        self._greetings = greetings
        self._budget = budget
        self._patience = patience

    async def dial(self, event: CallStatusChanged, cause: Envelope) -> None:
        """Dials the attempt that `event` began.

        Idempotent: whoever appends the claim sends the request; everybody else, also after a crash, finds the claim
        and says at most that the outcome is unknown. Raises StillDialing while the claimant may be at work, and
        Stopping.
        """
        call_id, attempt = event.call.call_id, event.attempt
        if not _is_dialing(await self._state(call_id), attempt):
            return
        await self._greetings.prepare_before_dialing(call_id)
        claimed = await is_claimed(self._calls, call_id, attempt)
        async with nullcontext() if claimed or self._hold is None else self._hold.turn():
            await self._in_its_turn(call_id, attempt, cause)

    async def _in_its_turn(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        if self._clearance and not await is_claimed(self._calls, call_id, attempt):  # it may be long since it was asked
            await self._clearance.clear(call_id, attempt, cause)
        last_moment = asyncio.get_running_loop().time() + self._budget
        if not await claim_attempt(self._calls, call_id, attempt, cause):
            await self._account_for(call_id, attempt, cause)
            return
        outcome = await self._carry_out(call_id, attempt, last_moment)
        await self._calls.append(outcome, cause=cause)
        logger.info("dialed", fact=outcome.event_name, attempt=attempt)

    async def _carry_out(self, call_id: UUID, attempt: int, last_moment: float) -> Outcome:
        # Only behind the claim is it certain that nobody else dials, so only here can it be said that nobody did.
        call = await self._state(call_id)
        if call is None or not _is_dialing(call, attempt) or call.hangup_reason is not None:
            DIALS.labels(outcome="called_off").inc()
            return DialRefused(call_id=call_id, attempt=attempt, is_permanent=False, reason=CALLED_OFF)
        order = DialOrder(call_id, attempt, call.phone_number, call.call_timeout_seconds, call.max_call_seconds)
        return await self._place(order, last_moment)

    async def _place(self, order: DialOrder, last_moment: float) -> Outcome:
        clock = asyncio.get_running_loop().time
        pause = 1.0
        while clock() <= last_moment:
            try:
                sid = await self._telephony.place(order)
            except DialFailed as failed:
                wait = max(failed.retry_after_seconds or 0.0, pause * random.uniform(0.75, 1.25))
                if failed.failure is not FailureClass.RATE_LIMITED or clock() + wait > last_moment:
                    return _failed(order, failed)
                await asyncio.sleep(wait)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            else:
                DIALS.labels(outcome="placed").inc()
                return DialPlaced(
                    call_id=order.call_id,
                    attempt=order.attempt,
                    provider=self._telephony.provider,
                    provider_call_id=sid,
                )
        return _failed(order, DialFailed(FailureClass.TRANSIENT, "its time had passed before it could be dialled"))

    async def _account_for(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        """Another process, or this one in an earlier life, has the claim."""
        known = await load_attempt(self._calls, call_id, attempt)
        if known.claim is None or known.accounted_for:
            return
        if known.may_be_under_way(self._patience):
            raise StillDialing
        unknown = DialUnknown(call_id=call_id, attempt=attempt, reason="claimed before, no answer recorded")
        await self._calls.append(unknown, cause=cause, event_id=f"{known.claim.envelope.id}/unknown")
        DIALS.labels(outcome=FailureClass.UNKNOWN).inc()

    async def _state(self, call_id: UUID) -> Call | None:
        newest: StoredEvent | None = await self._calls.last(call_state_filter(call_id))
        return newest.event.call if newest and isinstance(newest.event, CallDecision) else None


def _is_dialing(call: Call | None, attempt: int) -> bool:
    return call is not None and call.status is CallStatus.DIALING and call.attempt == attempt


def _failed(order: DialOrder, failed: DialFailed) -> Outcome:
    DIALS.labels(outcome=failed.failure).inc()
    if failed.failure is FailureClass.UNKNOWN:
        return DialUnknown(call_id=order.call_id, attempt=order.attempt, reason=failed.reason)
    return DialRefused(
        call_id=order.call_id,
        attempt=order.attempt,
        is_permanent=failed.failure.is_permanent,
        reason=failed.reason,
        code=failed.code,
    )
