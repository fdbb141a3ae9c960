"""A turn that nobody here can speak is said by the telephone provider's own voice."""

import asyncio
from uuid import UUID

import structlog

from voice.application.attempts import load_attempt
from voice.ports import CallLog, Mouthpiece

LONGEST_SECONDS = 5.0

logger = structlog.get_logger()


class Handover:
    """Hands turns over."""

    def __init__(self, calls: CallLog, mouthpiece: Mouthpiece) -> None:
        self._calls = calls
        self._mouthpiece = mouthpiece

    async def hand_over(self, call_id: UUID, attempt: int, turn: int) -> None:
        """Has the turn said on the call's line. Twice is harmless: it is said from its beginning again.

        Fails open: if the provider cannot be asked, the callee's silence brings the edge to the same reply.
        """
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                sid = (await load_attempt(self._calls, call_id, attempt)).provider_call_id
                if sid is None:
                    return
                await self._mouthpiece.say_reply(sid, call_id, attempt, turn)
        except Exception as error:  # noqa: BLE001  quality fails open (law 9)
            logger.warning("turn_not_handed_over", attempt=attempt, turn=turn, error=type(error).__name__)
        else:
            logger.info("turn_handed_over", attempt=attempt, turn=turn)
