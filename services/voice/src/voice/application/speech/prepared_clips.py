"""Sentences whose text follows from the call: greetings and messages to machines. Their clips are prepared.

A greeting is the first paragraph of the call's script, so no event has to request it (docs/adr/0030). When voice is
ordered to dial, it stores the greeting as a clip. One with variables, and one that no other person has heard yet, stays
in the memory of this process until the call is answered, so an unanswered call stores nothing (docs/adr/0050). A
message is stored before the line is redirected to it. If a clip cannot be prepared, `audio.failed` is appended;
otherwise an unanswered call has no event about its greeting.
"""

import asyncio
from uuid import UUID

import structlog

from contracts import AudioRequested, Call, Envelope
from contracts.phrases import greeting_of, message_of
from contracts.vocabulary import MESSAGE_TURN
from providers import RequestFailed
from telephony.instructions import GREETING_TURN
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.domain.clips import is_personal

MAX_PREPARATION_SECONDS = 4.0

logger = structlog.get_logger()

_Key = tuple[str | None, str, str, UUID | None]
"""Voice, language and text, and the call if the clip is for this call only."""


def greeting_sentence(call: Call, attempt: int, cause: Envelope) -> Sentence:
    """Returns the greeting of a call, as a sentence of `cause`, the event because of which it is spoken."""
    text = greeting_of(call)
    return _sentence(call, attempt, GREETING_TURN, text, cause)


def message_sentence(call: Call, attempt: int, cause: Envelope) -> Sentence | None:
    """Returns the message of a call to a machine, as `greeting_sentence`; none if it has no message."""
    text = message_of(call)
    return None if text is None else _sentence(call, attempt, MESSAGE_TURN, text, cause)


def _sentence(call: Call, attempt: int, turn: int, text: str, cause: Envelope) -> Sentence:
    request = AudioRequested(
        call_id=call.call_id,
        attempt=attempt,
        turn=turn,
        sentence=0,
        text=text,
        language=call.language,
        voice=call.voice,
        is_reusable=True,
    )
    return Sentence(request, cause, 0, is_personal=is_personal(text, call))


class PreparedClips:
    """Stores sentences as clips. One process synthesizes a text that may be shared once for all calls that wait."""

    def __init__(self, synthesis: SpeechSynthesis, *, max_wait_seconds: float = MAX_PREPARATION_SECONDS) -> None:
        self._synthesis = synthesis
        self._max_wait_seconds = max_wait_seconds
        self._tasks: dict[_Key, asyncio.Task[None]] = {}

    async def prepare(self, sentence: Sentence) -> None:
        """Stores the sentence as a clip, waiting a few seconds at most. A failure does not stop the call (law 9).

        A failed synthesis is recorded, so that the provider's voice speaks the sentence as soon as it is to be heard.
        """
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await self._prepare(sentence)
        except RequestFailed as error:
            await self._record_failure(sentence, str(error))
        except Exception as error:  # noqa: BLE001  the call proceeds without the clip
            logger.warning("clip_not_ready", turn=sentence.event.turn, error=type(error).__name__)

    async def aclose(self) -> None:
        """Cancels the syntheses in progress."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, sentence: Sentence) -> None:
        request = sentence.event
        of_call = None if self._synthesis.may_share(sentence) else request.call_id
        key = request.voice, request.language, request.text, of_call
        if key not in self._tasks:
            is_answered = request.turn != GREETING_TURN
            task = asyncio.create_task(self._synthesis.prepare(sentence, is_answered=is_answered))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._remove(key, done))
        await asyncio.shield(self._tasks[key])

    def _remove(self, key: _Key, done: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.warning("clip_failed", error=type(error).__name__)

    async def _record_failure(self, sentence: Sentence, reason: str) -> None:
        try:
            await self._synthesis.record_failure(sentence, reason)
        except Exception as error:  # noqa: BLE001  the call proceeds, and the sentence is tried again when it is played
            logger.warning("failure_not_recorded", error=type(error).__name__)
