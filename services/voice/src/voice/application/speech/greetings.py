"""Synthesizes greetings before the phone rings."""

import asyncio
from uuid import UUID

import structlog

from chassis.event_log import EventLog, StoredEvent
from contracts import AudioRequested
from providers import RequestFailed
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.domain.turns import GREETING_TURN

MAX_PREPARATION_SECONDS = 4.0

logger = structlog.get_logger()


async def load_greeting(calls: EventLog, call_id: UUID) -> Sentence | None:
    """Returns the newest greeting; a call that is changed before it is dialled gets a new one."""
    for stored in reversed(await calls.read((AudioRequested.subject_for(call_id),))):
        if isinstance(stored.event, AudioRequested) and stored.event.turn == GREETING_TURN:
            return StoredEvent(stored.event, stored.envelope, stored.sequence)
    return None


class Greetings:
    """Stores greetings as clips. One process synthesizes a greeting once, however many callers wait for it."""

    def __init__(
        self, calls: EventLog, synthesis: SpeechSynthesis, *, max_wait_seconds: float = MAX_PREPARATION_SECONDS
    ) -> None:
        self._calls = calls
        self._synthesis = synthesis
        self._max_wait_seconds = max_wait_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def prepare(self, sentence: Sentence) -> None:
        """Stores the sentence as a clip if it is a reusable greeting.

        Idempotent: a clip is stored under the digest of its content.
        """
        if sentence.event.turn != GREETING_TURN or not sentence.event.is_reusable:
            return
        event_id = sentence.envelope.id
        if event_id not in self._tasks:
            task = asyncio.create_task(self._synthesize(sentence))
            self._tasks[event_id] = task
            task.add_done_callback(lambda done: self._remove(event_id, done))
        await asyncio.shield(self._tasks[event_id])

    async def prepare_before_dialing(self, call_id: UUID) -> None:
        """Prepares the newest greeting, waiting a few seconds at most. A failure does not stop the dial (law 9)."""
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                if (greeting := await load_greeting(self._calls, call_id)) is not None:
                    await self.prepare(greeting)
        except Exception as error:  # noqa: BLE001  the call proceeds without the clip
            logger.warning("greeting_not_ready", error=type(error).__name__)

    async def aclose(self) -> None:
        """Cancels the syntheses in progress."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remove(self, event_id: str, done: asyncio.Task[None]) -> None:
        del self._tasks[event_id]
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.warning("greeting_failed", error=type(error).__name__)

    async def _synthesize(self, sentence: Sentence) -> None:
        if await self._synthesis.has_clip(sentence.event):
            return
        try:
            await self._synthesis.speak(sentence, lambda _: None)
        except RequestFailed as error:
            await self._synthesis.record_failure(sentence, str(error))
