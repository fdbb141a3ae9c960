"""A sentence becomes sound: a clip that is kept, or a synthesis that is heard while it is made."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Histogram

from chassis.log import Recorded
from contracts import AudioFailed, AudioReady, AudioRequested, Event
from voice.domain.clips import Recipe
from voice.domain.mp3 import FrameCutter
from voice.ports import CallLog, Clips, Speech, SpeechFailed

SENTENCES = Counter("centralita_sentences", "Sentences asked for, by how they came out", ["outcome"])
FIRST_BYTE_SECONDS = Histogram("centralita_speech_first_byte_seconds", "From asking the vendor to its first sound")
TRIES = 2

Hear = Callable[[bytes], None]
"""Takes the next MP3 frames; empty: the sentence is over."""

logger = structlog.get_logger()


@dataclass
class _Synthesis:
    """One try. Times in seconds."""

    recipe: Recipe
    cutter: FrameCutter = field(default_factory=FrameCutter)
    audio: bytearray = field(default_factory=bytearray)
    first_byte: float | None = None

    async def run(self, speech: Speech, hear: Hear) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        async with aclosing(speech.synthesize(self.recipe)) as pieces:
            async for piece in pieces:
                if not (frames := self.cutter.feed(piece)):
                    continue
                if self.first_byte is None:
                    self.first_byte = clock() - start
                    FIRST_BYTE_SECONDS.observe(self.first_byte)
                self.audio += frames
                hear(frames)
        if not self.audio:
            raise SpeechFailed("the vendor sent no sound")


class Speaking:
    """Speaks sentences and says in the log how that went."""

    def __init__(self, speech: Speech, clips: Clips, calls: CallLog) -> None:
        self._speech = speech
        self._clips = clips
        self._calls = calls

    async def speak(self, asked: Recorded, request: AudioRequested, hear: Hear) -> None:
        """Gives the sentence's MP3 frames to `hear` as they come. What fails is in the log, and is not raised.

        Idempotent: what it says in the log has an id that follows from the request's. Only a sentence of which
        nothing was heard is tried again.
        """
        recipe = self._speech.recipe(request)
        if request.repeats and (clip := await self._clips.get(recipe.digest)) is not None:
            hear(clip)
            hear(b"")
            await self._ready(asked, request, recipe, _length(clip), cached=True)
            return
        for left in reversed(range(TRIES)):
            synthesis = _Synthesis(recipe)
            try:
                await synthesis.run(self._speech, hear)
            except SpeechFailed as failed:
                if left and not synthesis.audio:
                    continue
                hear(b"")
                await self._failed(asked, request, str(failed))
                return
            break
        hear(b"")
        if request.repeats:
            await self._clips.put(recipe.digest, bytes(synthesis.audio))
        await self._ready(asked, request, recipe, synthesis.cutter.seconds, first_byte=synthesis.first_byte)

    async def has_clip(self, request: AudioRequested) -> bool:
        """Whether the sentence can be heard without a synthesis."""
        return await self._clips.get(self._speech.recipe(request).digest) is not None

    async def _ready(
        self,
        asked: Recorded,
        request: AudioRequested,
        recipe: Recipe,
        seconds: float,
        *,
        cached: bool = False,
        first_byte: float | None = None,
    ) -> None:
        SENTENCES.labels(outcome="clip" if cached else "synthesized").inc()
        ready = AudioReady(
            call_id=request.call_id,
            attempt=request.attempt,
            turn=request.turn,
            sentence=request.sentence,
            digest=recipe.digest,
            seconds=round(seconds, 3),
            cached=cached,
            provider=self._speech.name,
            first_byte_seconds=first_byte,
        )
        await self._say(ready, asked, "ready")

    async def _failed(self, asked: Recorded, request: AudioRequested, reason: str) -> None:
        SENTENCES.labels(outcome="failed").inc()
        logger.warning("speech_failed", turn=request.turn, sentence=request.sentence, reason=reason)
        failed = AudioFailed(
            call_id=request.call_id,
            attempt=request.attempt,
            turn=request.turn,
            sentence=request.sentence,
            reason=reason,
        )
        await self._say(failed, asked, "failed")

    async def _say(self, event: Event, asked: Recorded, outcome: str) -> None:
        await self._calls.append(event, cause=asked.envelope, event_id=f"{asked.envelope.id}/{outcome}")


def _length(clip: bytes) -> float:
    cutter = FrameCutter()
    cutter.feed(clip)
    return cutter.seconds
