"""A sentence becomes sound: a clip that is kept, or a synthesis that is heard while it is made, or what stands in."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from chassis.event_log import StoredEvent
from contracts import AudioFailed, AudioReady, AudioRequested, Event, SpeechFallback
from providers import FALLBACKS, Failure, RequestFailed
from voice.domain.clips import Lines, Recipe, line_digest
from voice.domain.mp3 import FrameCutter
from voice.metrics import FIRST_BYTE_SECONDS, SENTENCES
from voice.ports import CallLog, Clips, Speech

TRIES = 2
"""Of the first voice; those that stand in for it are asked once."""
DEADLINE_SECONDS = 6.0

for _step in SpeechFallback:
    FALLBACKS.labels(step=_step.value)

logger = structlog.get_logger()


@dataclass
class Hearing:
    """Who listens: `hear` takes the next MP3 frames; empty: the sentence is over."""

    hear: Callable[[bytes], None]
    began: bool = False

    def __call__(self, frames: bytes) -> None:
        """More sound."""
        self.began = True
        self.hear(frames)


@dataclass
class _Spoken:
    """A sentence that was heard. `audio` is to be kept; none if it was a clip. Times in seconds."""

    digest: str
    provider: str
    fallback: SpeechFallback | None
    cutter: FrameCutter = field(default_factory=FrameCutter)
    audio: bytearray | None = None
    first_byte: float | None = None


class Speaking:
    """Speaks sentences and says in the log how that went.

    `voices`: the first is the one to be heard, the others stand in for it, in their order. A sentence must be heard
    within `deadline` seconds of being asked for; each voice has an equal share of them to begin in.
    """

    def __init__(
        self, voices: Sequence[Speech], clips: Clips, calls: CallLog, *, deadline: float = DEADLINE_SECONDS
    ) -> None:
        self._voices = voices
        self._clips = clips
        self._calls = calls
        self._deadline = deadline
        self._lines = Lines()

    async def speak(self, asked: StoredEvent, request: AudioRequested, hear: Callable[[bytes], None]) -> None:
        """Gives the sentence's MP3 frames to `hear` as they come; what it has become is in the log.

        Idempotent: what it says in the log has an id that follows from the request's. Nobody speaks a sentence of
        which something was heard a second time. Raises RequestFailed if it was not heard to its end: see `give_up`.
        """
        try:
            spoken = await self._sound(request, Hearing(hear))
        except RequestFailed as failed:
            SENTENCES.labels(outcome="failed").inc()
            logger.warning("speech_failed", turn=request.turn, sentence=request.sentence, reason=str(failed))
            raise
        hear(b"")
        await self._keep(request, spoken)
        await self._ready(asked, request, spoken)

    async def give_up(self, asked: StoredEvent, request: AudioRequested, reason: str, *, say: bool = True) -> None:
        """Says in the log that the sentence is not heard. `say`: the provider's voice says the turn from there on."""
        if say:
            FALLBACKS.labels(step=SpeechFallback.SAY.value).inc()
        failed = AudioFailed(
            call_id=request.call_id,
            attempt=request.attempt,
            turn=request.turn,
            sentence=request.sentence,
            reason=reason,
            fallback=SpeechFallback.SAY.value if say else None,
        )
        await self._say(failed, asked, "failed")

    async def has_clip(self, request: AudioRequested) -> bool:
        """Whether the sentence can be heard, in the voice that it was asked for, without a synthesis."""
        return await self._clips.get(self._voices[0].recipe(request).digest) is not None

    async def _sound(self, request: AudioRequested, hear: Hearing) -> _Spoken:
        """The first step of the ladder that is heard. Raises RequestFailed."""
        start, failed = asyncio.get_running_loop().time(), RequestFailed(Failure.NO_CAPACITY, "no voice")
        for number, voice in enumerate(self._voices):
            step, recipe = SpeechFallback.SECOND_VOICE if number else None, voice.recipe(request)
            if request.is_reusable and (clip := await self._clips.get(recipe.digest)) is not None:
                return _played(_Spoken(recipe.digest, voice.name, step), clip, hear)
            until = start + self._deadline * (number + 1) / len(self._voices)
            for left in reversed(range(1 if number else TRIES)):
                try:
                    return await _synthesize(voice, recipe, step, until, hear)
                except RequestFailed as error:
                    failed = error
                    if hear.began:
                        raise
                    if not left or not (error.failure.is_transient or error.failure is Failure.EMPTY):
                        break
        return await self._clip_of_line(request, hear, failed)

    async def _clip_of_line(self, request: AudioRequested, hear: Hearing, failed: RequestFailed) -> _Spoken:
        """The same line in whatever voice it was once spoken. Raises `failed` if there is none."""
        name = await self._clips.get(line_digest(request.language, request.text))
        clip = await self._clips.get(name.decode()) if name else None
        if name is None or clip is None:
            raise failed
        return _played(_Spoken(name.decode(), "clips", SpeechFallback.CLIP), clip, hear)

    async def _keep(self, request: AudioRequested, spoken: _Spoken) -> None:
        """What is worth keeping: what was said to repeat, and what has been seen to."""
        if spoken.audio is None:
            return
        line = line_digest(request.language, request.text)
        if self._lines.is_repeated(line) or request.is_reusable:
            await self._clips.put(spoken.digest, bytes(spoken.audio))
            await self._clips.put(line, spoken.digest.encode())

    async def _ready(self, asked: StoredEvent, request: AudioRequested, spoken: _Spoken) -> None:
        SENTENCES.labels(outcome="synthesized" if spoken.audio else "clip").inc()
        if spoken.fallback is not None:
            FALLBACKS.labels(step=spoken.fallback.value).inc()
        ready = AudioReady(
            call_id=request.call_id,
            attempt=request.attempt,
            turn=request.turn,
            sentence=request.sentence,
            digest=spoken.digest,
            duration_seconds=round(spoken.cutter.seconds, 3),
            is_cached=spoken.audio is None,
            provider=spoken.provider,
            first_byte_seconds=spoken.first_byte,
            fallback=spoken.fallback,
        )
        await self._say(ready, asked, "ready")

    async def _say(self, event: Event, asked: StoredEvent, outcome: str) -> None:
        await self._calls.append(event, cause=asked.envelope, event_id=f"{asked.envelope.id}/{outcome}")


async def _synthesize(
    voice: Speech, recipe: Recipe, step: SpeechFallback | None, until: float, hear: Hearing
) -> _Spoken:
    """One try. Raises RequestFailed."""
    clock = asyncio.get_running_loop().time
    start, audio = clock(), bytearray()
    spoken = _Spoken(recipe.digest, voice.name, step, audio=audio)
    async with aclosing(voice.synthesize(recipe, first_by=until)) as pieces:
        async for piece in pieces:
            if not (frames := spoken.cutter.feed(piece)):
                continue
            if spoken.first_byte is None:
                spoken.first_byte = clock() - start
                FIRST_BYTE_SECONDS.observe(spoken.first_byte)
            audio += frames
            hear(frames)
    if not audio:
        raise RequestFailed(Failure.EMPTY, "the vendor sent no sound")
    return spoken


def _played(spoken: _Spoken, clip: bytes, hear: Hearing) -> _Spoken:
    spoken.cutter.feed(clip)
    hear(clip)
    return spoken
