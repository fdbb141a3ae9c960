"""Leaves the message of a call on the voicemail that answered: prepares its clip, then redirects the line to it.

The provider then fetches the instructions of `telephony.routes.Webhook.MESSAGE` from the edge, and the audio from here.
"""

from uuid import UUID

import structlog

from chassis.event_log import EventLog
from contracts import CallMessageRequested, Envelope, VoicemailDelivery
from contracts.call import Call
from voice.application.call_state import load_call
from voice.application.speech.prepared_clips import PreparedClips, message_sentence
from voice.application.telephony.attempts import AttemptInProgress, find_placed, load_attempt
from voice.ports import MessageLine

logger = structlog.get_logger()


class Messages:
    """Leaves messages."""

    def __init__(self, calls: EventLog, clips: PreparedClips, line: MessageLine) -> None:
        self._calls = calls
        self._clips = clips
        self._line = line

    async def leave(self, event: CallMessageRequested, cause: Envelope) -> None:
        """Redirects the line of the call's attempt to its message, unless a person has been recognized meanwhile.

        Idempotent once the message has begun. A delivery before that begins the message again. Raises AttemptInProgress
        if the line is not known yet.
        """
        attempt = event.call.attempt
        message = message_sentence(event.call, attempt, cause)
        if message is None or not await self._is_awaited(event.call.call_id, attempt):
            return
        await self._clips.prepare(message)
        provider_call_id = await self._find_line(event.call)
        if provider_call_id is None:
            raise AttemptInProgress
        if await self._is_awaited(event.call.call_id, attempt):
            await self._line.redirect_to_message(provider_call_id, event.call.call_id, attempt)
            logger.info("message_requested", attempt=attempt)

    async def _is_awaited(self, call_id: UUID, attempt: int) -> bool:
        call = await load_call(self._calls, call_id)
        if call is None or not call.may_use_line(attempt):
            return False
        return call.voicemail_delivery is VoicemailDelivery.NONE

    async def _find_line(self, call: Call) -> str | None:
        if placed := await find_placed(self._calls, call.call_id, call.attempt):
            return placed.provider_call_id
        granted_sequence = call.granted_sequence
        attempt = await load_attempt(self._calls, call.call_id, call.attempt, granted_sequence=granted_sequence)
        return attempt.provider_call_id
