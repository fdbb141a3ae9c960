"""Hangs up: the call was canceled or lasts too long, a machine answered, or the conversation has ended."""

import structlog

from chassis.event_log import EventLog
from contracts import CallHangupRequested, Envelope
from voice.application.telephony.attempts import (
    CALLED_OFF,
    MAX_PENDING_SECONDS,
    AttemptInProgress,
    find_placed,
    load_attempt,
    record_undialled,
)
from voice.application.telephony.lookup import look_up
from voice.ports import CallDirectory, Telephony

logger = structlog.get_logger()


class HangUp:
    """Closes the lines of calls."""

    def __init__(
        self,
        calls: EventLog,
        telephony: Telephony,
        directory: CallDirectory,
        *,
        max_pending_seconds: float = MAX_PENDING_SECONDS,
    ) -> None:
        self._calls = calls
        self._telephony = telephony
        self._directory = directory
        self._max_pending_seconds = max_pending_seconds

    async def hang_up(self, event: CallHangupRequested, cause: Envelope) -> None:
        """Closes the line of the call's current attempt, if it may have one.

        Idempotent: closing a closed line has no effect. An attempt without a claim is refused here, because its order
        may wait at a gate for long. Raises AttemptInProgress while the dial request may be in progress, and
        AmbiguousLookup if its line may be that of another attempt.
        """
        call = event.call
        placed = await find_placed(self._calls, call.call_id, call.attempt)
        if placed is not None:
            await self._close_line(call.attempt, placed.provider_call_id)
            return
        granted_sequence = call.granted_sequence
        attempt = await load_attempt(self._calls, call.call_id, call.attempt, granted_sequence=granted_sequence)
        if attempt.is_undialled:
            return
        provider_call_id = attempt.provider_call_id
        if attempt.claim is None and provider_call_id is None:
            await record_undialled(self._calls, call, cause, CALLED_OFF)
            return
        if provider_call_id is None:
            if attempt.may_be_in_progress(self._calls.now(), self._max_pending_seconds):
                raise AttemptInProgress
            provider_call = await look_up(self._calls, self._directory, call, attempt)
            provider_call_id = provider_call.provider_call_id if provider_call else None
        if provider_call_id is not None:
            await self._close_line(call.attempt, provider_call_id)

    async def _close_line(self, attempt: int, provider_call_id: str) -> None:
        await self._telephony.hang_up(provider_call_id)
        logger.info("call_hung_up", attempt=attempt)
