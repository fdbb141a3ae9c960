"""Settles attempts whose events are overdue: reads their state from the provider."""

import structlog

from chassis.event_log import EventLog
from contracts import CallSettlementRequested, DialLookedUp, Envelope
from contracts.call import Call
from voice.application.telephony.attempts import (
    MAX_PENDING_SECONDS,
    Attempt,
    AttemptInProgress,
    load_attempt,
    record_undialled,
)
from voice.application.telephony.lookup import look_up
from voice.ports import CallDirectory

NOT_DIALLED_IN_TIME = "not dialled in time"

logger = structlog.get_logger()


class Settlement:
    """Records the provider's answer as it is; the orchestrator decides what follows from it."""

    def __init__(
        self, calls: EventLog, directory: CallDirectory, *, max_pending_seconds: float = MAX_PENDING_SECONDS
    ) -> None:
        self._calls = calls
        self._directory = directory
        self._max_pending_seconds = max_pending_seconds

    async def settle(self, event: CallSettlementRequested, cause: Envelope) -> None:
        """Looks the current attempt up and appends the result. An attempt without a claim is refused instead.

        Idempotent: the lookup only reads, and the result's id derives from the request's. Raises AttemptInProgress,
        AmbiguousLookup, or the error of the provider; the message is then delivered again.
        """
        call = event.call
        granted_sequence = call.granted_sequence
        attempt = await load_attempt(self._calls, call.call_id, call.attempt, granted_sequence=granted_sequence)
        if attempt.claim is None and attempt.provider_call_id is None:
            await record_undialled(self._calls, call, cause, NOT_DIALLED_IN_TIME)
            return
        if attempt.is_undialled:
            return
        may_be_in_progress = attempt.may_be_in_progress(self._calls.now(), self._max_pending_seconds)
        if attempt.provider_call_id is None and may_be_in_progress:
            raise AttemptInProgress
        await self._record_lookup(call, attempt, cause)

    async def _record_lookup(self, call: Call, attempt: Attempt, cause: Envelope) -> None:
        provider_call = await look_up(self._calls, self._directory, call, attempt)
        event = DialLookedUp(
            call_id=call.call_id,
            attempt=call.attempt,
            provider_call_id=provider_call.provider_call_id if provider_call else attempt.provider_call_id,
            status=provider_call.status if provider_call else None,
            duration_seconds=provider_call.duration_seconds if provider_call else None,
        )
        await self._calls.append(event, cause=cause, event_id=f"{cause.id}/looked-up")
        logger.info("attempt_looked_up", attempt=call.attempt, status=event.status)
