"""Greetings: their text follows from the call, and their clips are prepared before the phone rings.

A greeting is the first paragraph of the call's script, so no event has to request it (docs/adr/0030). When voice is
ordered to dial, it stores the greeting as a clip. `audio.failed` is appended if the clip cannot be prepared; otherwise
an unanswered call has no event about its greeting.
"""

import asyncio

import structlog

from chassis.event_log import StoredEvent
from contracts import AudioRequested, Call, Envelope
from contracts.script import render_greeting
from providers import RequestFailed
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.domain.turns import GREETING_TURN

MAX_PREPARATION_SECONDS = 4.0

logger = structlog.get_logger()


def greeting_of(call: Call, attempt: int) -> AudioRequested:
    """Returns the request to speak the greeting of a call in one attempt."""
    return AudioRequested(
        call_id=call.call_id,
        attempt=attempt,
        turn=GREETING_TURN,
        sentence=0,
        text=render_greeting(call.script_template, call.variables),
        language=call.language,
        is_reusable=True,
    )


def greeting_sentence(call: Call, attempt: int, cause: Envelope) -> Sentence:
    """Returns the greeting as a sentence of `cause`, the event because of which it is spoken."""
    return StoredEvent(greeting_of(call, attempt), cause, 0)


class Greetings:
    """Stores greetings as clips. One process synthesizes a text once, however many calls wait for it."""

    def __init__(self, synthesis: SpeechSynthesis, *, max_wait_seconds: float = MAX_PREPARATION_SECONDS) -> None:
        self._synthesis = synthesis
        self._max_wait_seconds = max_wait_seconds
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def prepare(self, call: Call, attempt: int, cause: Envelope) -> None:
        """Stores the greeting as a clip, waiting a few seconds at most. A failure does not stop the dial (law 9).

        A failed synthesis is recorded, so that the provider's voice speaks the greeting as soon as the callee answers.
        """
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await self._prepare(greeting_of(call, attempt))
        except RequestFailed as error:
            await self._record_failure(call, attempt, cause, str(error))
        except Exception as error:  # noqa: BLE001  the call proceeds without the clip
            logger.warning("greeting_not_ready", error=type(error).__name__)

    async def aclose(self) -> None:
        """Cancels the syntheses in progress."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, greeting: AudioRequested) -> None:
        key = greeting.language, greeting.text
        if key not in self._tasks:
            task = asyncio.create_task(self._synthesis.prepare(greeting))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._remove(key, done))
        await asyncio.shield(self._tasks[key])

    def _remove(self, key: tuple[str, str], done: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.warning("greeting_failed", error=type(error).__name__)

    async def _record_failure(self, call: Call, attempt: int, cause: Envelope, reason: str) -> None:
        try:
            await self._synthesis.record_failure(greeting_sentence(call, attempt, cause), reason)
        except Exception as error:  # noqa: BLE001  the call proceeds, and the greeting is tried again when it is played
            logger.warning("failure_not_recorded", error=type(error).__name__)
