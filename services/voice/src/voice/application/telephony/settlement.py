"""Settlement: the provider is asked what became of an attempt whose news are overdue."""

import structlog

from chassis.event_log import EventLog
from contracts import CallSettlementRequested, DialLookedUp, Envelope
from contracts.call import Call
from voice.application.telephony.attempts import (
    CLAIM_PATIENCE_SECONDS,
    Attempt,
    StillDialing,
    load_attempt,
    rule_out,
)
from voice.application.telephony.lookup import look_up
from voice.ports import Directory

logger = structlog.get_logger()


class Settlement:
    """Says what the provider says; assumes nothing."""

    def __init__(self, calls: EventLog, directory: Directory, *, patience: float = CLAIM_PATIENCE_SECONDS) -> None:
        self._calls = calls
        self._directory = directory
        self._patience = patience

    async def settle(self, event: CallSettlementRequested, cause: Envelope) -> None:
        """Looks the attempt up and says what was found.

        Idempotent: it only reads at the provider, and the id of what it says follows from the question's. Raises
        StillDialing, Ambiguous, or whatever kept the provider from being asked: the question comes again.
        """
        call = event.call
        attempt = await load_attempt(self._calls, call.call_id, call.attempt)
        if attempt.claim is None and attempt.provider_call_id is None:
            await rule_out(self._calls, call.call_id, call.attempt, cause, "nobody came to dial it in time")
            return
        if attempt.never_rang:
            return
        if attempt.provider_call_id is None and attempt.may_be_under_way(self._patience):
            raise StillDialing
        await self._say(call, attempt, cause)

    async def _say(self, call: Call, attempt: Attempt, cause: Envelope) -> None:
        found = await look_up(self._directory, call, attempt)
        fact = DialLookedUp(
            call_id=call.call_id,
            attempt=call.attempt,
            provider_call_id=found.provider_call_id if found else attempt.provider_call_id,
            status=found.status if found else None,
            duration_seconds=found.duration_seconds if found else None,
        )
        await self._calls.append(fact, cause=cause, event_id=f"{cause.id}/looked-up")
        logger.info("looked_up", attempt=call.attempt, status=fact.status)
