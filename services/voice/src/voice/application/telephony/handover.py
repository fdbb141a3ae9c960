"""Hands a turn over to the edge: when speech synthesis fails, and when keys or a transfer follow the reply.

Theory. The provider fetches a turn's audio before anything has failed, so a failure in the middle cannot change its
instructions. Instead, the audio ends early, and voice modifies the live call: the provider then fetches instructions
that speak the unplayed remainder in its own voice. Keys and a transfer are not known earlier either. They follow a
reply that was played to its end, whose remainder is empty.

When. Audio is sent faster than it is played, and modifying the call interrupts playback. So the hand-over waits until
the callee has heard everything that was sent (`domain.playback`). Then it checks that the turn is still current.

Who. Edge does the same by itself when the callee has been silent for a while after a turn that failed. A hand-over
gives up before that (`telephony.timing`), so the remainder is not spoken twice, and no transfer that has begun by
then is cut. If the provider cannot be reached, or this process ends, edge's silence timeout is the fallback.
"""

import asyncio
from uuid import UUID

import structlog

from chassis import tracing
from chassis.event_log import EventLog
from contracts import SpeechHeard, TransferStarted
from telephony.timing import HANDOVER_SECONDS
from voice.application.call_state import load_call
from voice.application.telephony.attempts import load_attempt
from voice.domain.playback import UnplayedRemainder
from voice.domain.turns import TurnId
from voice.ports import SpokenFallback

logger = structlog.get_logger()


class Handover:
    """Schedules hand-overs, at most one for each call: the one of the turn that was played last."""

    def __init__(self, calls: EventLog, spoken_fallback: SpokenFallback) -> None:
        self._calls = calls
        self._spoken_fallback = spoken_fallback
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    def schedule(self, turn: TurnId, remainder: UnplayedRemainder) -> asyncio.Task[None]:
        """Schedules the remainder to be spoken once the callee has heard what was sent. Never fails the caller."""
        if previous := self._tasks.get(turn.call_id):
            previous.cancel()
        task = asyncio.create_task(self._hand_over(turn, remainder))
        self._tasks[turn.call_id] = task
        task.add_done_callback(lambda done: self._remove(turn.call_id, done))
        return task

    async def aclose(self) -> None:
        """Cancels the scheduled hand-overs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remove(self, call_id: UUID, done: asyncio.Task[None]) -> None:
        if self._tasks.get(call_id) is done:
            del self._tasks[call_id]

    async def _hand_over(self, turn: TurnId, remainder: UnplayedRemainder) -> None:
        await asyncio.sleep(remainder.speak_at - asyncio.get_running_loop().time())
        log = logger.bind(attempt=turn.attempt, turn=turn.number, sentence=remainder.sentence)
        try:
            with tracing.span("hand over", tracing.SERVE, remainder.traceparent):
                async with asyncio.timeout(HANDOVER_SECONDS):
                    is_handed_over = await self._speak(turn, remainder)
        except Exception as error:  # noqa: BLE001  speech fails open (law 9)
            log.warning("handover_failed", error=type(error).__name__)
        else:
            log.info("turn_handed_over" if is_handed_over else "turn_overtaken")

    async def _speak(self, turn: TurnId, remainder: UnplayedRemainder) -> bool:
        """Redirects the call and returns true; returns false if its id is unknown or the turn is overtaken."""
        provider_call_id = (await load_attempt(self._calls, turn.call_id, turn.attempt)).provider_call_id
        if provider_call_id is None or await self._is_overtaken(turn):
            return False
        await self._spoken_fallback.redirect_to_remainder(
            provider_call_id,
            turn.call_id,
            turn.attempt,
            turn.number,
            remainder.sentence,
            after_sequence=remainder.after_sequence,
        )
        return True

    async def _is_overtaken(self, turn: TurnId) -> bool:
        """Returns whether the line has gone on: by a later turn, a transfer, a message to a machine, or its end."""
        last = await self._calls.last(SpeechHeard.subject_for(turn.call_id))
        utterance = last.event if last else None
        if isinstance(utterance, SpeechHeard) and (utterance.attempt, utterance.turn) > (turn.attempt, turn.number):
            return True
        call = await load_call(self._calls, turn.call_id)
        if call is None:
            return False
        if not call.may_use_line(turn.attempt) or call.voicemail_delivery is not None:
            return True
        return call.has_tools and await self._is_transferred(turn)

    async def _is_transferred(self, turn: TurnId) -> bool:
        """Returns whether the transfer after this turn has begun: words of the callee have come first."""
        last = await self._calls.last(TransferStarted.subject_for(turn.call_id))
        started = last.event if last else None
        place = (turn.attempt, turn.number)
        return isinstance(started, TransferStarted) and (started.attempt, started.turn) == place
