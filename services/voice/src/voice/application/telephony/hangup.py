"""Hanging up: canceled, too long, a machine answered, or the goodbye has been said."""

import structlog

from chassis.event_log import EventLog
from contracts import CallHangupRequested, Envelope
from voice.application.telephony.attempts import (
    CALLED_OFF,
    CLAIM_PATIENCE_SECONDS,
    StillDialing,
    load_attempt,
    rule_out,
)
from voice.application.telephony.lookup import look_up
from voice.ports import Directory, Telephony

logger = structlog.get_logger()


class HangUp:
    """Closes lines."""

    def __init__(
        self,
        calls: EventLog,
        telephony: Telephony,
        directory: Directory,
        *,
        patience: float = CLAIM_PATIENCE_SECONDS,
    ) -> None:
        self._calls = calls
        self._telephony = telephony
        self._directory = directory
        self._patience = patience

    async def hang_up(self, event: CallHangupRequested, cause: Envelope) -> None:
        """Closes the line of the call's present attempt, if there is or may be one.

        Idempotent: a line that is closed stays closed. An attempt that nobody has claimed is called off here, since
        whoever has the order may wait for long. Raises StillDialing while the request to dial may be under way.
        """
        call = event.call
        attempt = await load_attempt(self._calls, call.call_id, call.attempt)
        if attempt.never_rang:
            return
        sid = attempt.provider_call_id
        if attempt.claim is None and sid is None:
            await rule_out(self._calls, call.call_id, call.attempt, cause, CALLED_OFF)
            return
        if sid is None:
            if attempt.may_be_under_way(self._patience):
                raise StillDialing
            found = await look_up(self._directory, call, attempt)
            sid = found.provider_call_id if found else None
        if sid is not None:
            await self._telephony.hang_up(sid)
            logger.info("hung_up", attempt=call.attempt)
