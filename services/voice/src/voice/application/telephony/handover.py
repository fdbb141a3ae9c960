"""What nobody here can speak of a turn is said by the telephone provider's own voice."""

import asyncio
from uuid import UUID

import structlog

from chassis import tracing
from contracts import CallDecision, SpeechHeard
from contracts.streams import call_state_filter
from telephony.timing import HANDOVER_SECONDS
from voice.application.telephony.attempts import load_attempt
from voice.domain.playback import UnplayedRemainder
from voice.ports import CallLog, SpokenFallback

logger = structlog.get_logger()


class Handover:
    """Hands turns over, for each call the one that was played last. What is under way is dropped by `aclose`."""

    def __init__(self, calls: CallLog, mouthpiece: SpokenFallback) -> None:
        self._calls = calls
        self._mouthpiece = mouthpiece
        self._under_way: dict[UUID, asyncio.Task[None]] = {}

    def begin(self, call_id: UUID, attempt: int, turn: int, unsaid: UnplayedRemainder) -> asyncio.Task[None]:
        """Has the rest of the turn said on the call's line, as soon as what was sent of it has been heard.

        Fails open: if that cannot be asked for, or this process ends before, the callee's silence brings the edge to
        the same words.
        """
        if before := self._under_way.get(call_id):
            before.cancel()
        task = asyncio.create_task(self._hand_over(call_id, attempt, turn, unsaid))
        self._under_way[call_id] = task
        task.add_done_callback(lambda done: self._forget(call_id, done))
        return task

    async def aclose(self) -> None:
        """Leaves what is under way to the edge."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, call_id: UUID, done: asyncio.Task[None]) -> None:
        if self._under_way.get(call_id) is done:
            del self._under_way[call_id]

    async def _hand_over(self, call_id: UUID, attempt: int, turn: int, unsaid: UnplayedRemainder) -> None:
        await asyncio.sleep(unsaid.after - asyncio.get_running_loop().time())
        log = logger.bind(attempt=attempt, turn=turn, sentence=unsaid.sentence)
        try:
            with tracing.span("hand over", tracing.SERVE, unsaid.traceparent):
                async with asyncio.timeout(HANDOVER_SECONDS):
                    handed_over = await self._say(call_id, attempt, turn, unsaid.sentence)
        except Exception as error:  # noqa: BLE001  quality fails open (law 9)
            log.warning("turn_not_handed_over", error=type(error).__name__)
        else:
            log.info("turn_handed_over" if handed_over else "turn_overtaken")

    async def _say(self, call_id: UUID, attempt: int, turn: int, sentence: int) -> bool:
        sid = (await load_attempt(self._calls, call_id, attempt)).provider_call_id
        if sid is None or await self._is_overtaken(call_id, attempt, turn):
            return False
        await self._mouthpiece.redirect_to_remainder(sid, call_id, attempt, turn, sentence)
        return True

    async def _is_overtaken(self, call_id: UUID, attempt: int, turn: int) -> bool:
        """Whether the line has no more use for this turn: the callee has spoken since, or it is closed."""
        last = await self._calls.last(f"{SpeechHeard.event_name}.{call_id}")
        if last and isinstance(last.event, SpeechHeard) and (last.event.attempt, last.event.turn) > (attempt, turn):
            return True
        newest = await self._calls.last(call_state_filter(call_id))
        if newest is None or not isinstance(newest.event, CallDecision):
            return False
        return not newest.event.call.may_use_line(attempt)
