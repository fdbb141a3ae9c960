"""Speaks sentences: stored clips, streamed syntheses, and the fallback chain.

The callee must hear each sentence within its deadline. Four sources are tried in this order:

1. The requested voice. A transient failure is retried once.
2. The second voice or model, if one is configured.
3. A clip of the same text in one of these voices.
4. The telephone provider's own voice, which speaks the turn from this sentence on (`telephony.handover`).

For a reusable sentence, a clip in the voice of source 1 or 2 replaces its synthesis. Each voice has an equal share of
the deadline for its first audio, so a slow vendor counts as a failed one. Once any audio of a sentence has been passed
on, only source 4 is left. It repeats the sentence from its beginning, because half a sentence in one voice and half in
another cannot be understood. The log records the source of each sentence; docs/adr/0011 gives the reasons.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from chassis.event_log import EventLog, StoredEvent
from contracts import AudioFailed, AudioReady, AudioRequested, SentenceAudio, SpeechFallback
from contracts.vocabulary import MESSAGE_TURN
from providers import FALLBACKS, Failure, RequestFailed
from telephony.instructions import GREETING_TURN
from voice.domain.audio_formats import AudioCutter
from voice.domain.clips import ClipName, RecentTexts, SynthesisRequest
from voice.domain.mp3 import FrameCutter
from voice.metrics import FIRST_BYTE_SECONDS, SENTENCES
from voice.ports import Clips, Synthesizer

MAX_TRIES = 2
"""Syntheses of one sentence by the requested voice; a fallback voice has one."""
DEADLINE_SECONDS = 6.0

for _fallback in SpeechFallback:
    FALLBACKS.labels(step=_fallback.value)

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sentence(StoredEvent[AudioRequested]):
    """A request to speak a sentence. The envelope and the sequence are those of the event that contains it.

    `is_personal`: it may contain values of the call's variables. Its clip is stored for this call only.
    """

    is_personal: bool = False

    @property
    def person(self) -> str:
        """Who hears it: the digest of the telephone number. A call of an older build is a person of its own."""
        return self.envelope.person or str(self.event.call_id)

    def clip_name(self, digest: str) -> ClipName:
        """Returns the name of its clip in one voice; `digest` is that of the synthesis."""
        return ClipName(digest, self.event.call_id, self.is_personal)


@dataclass
class _AudioSink:
    """Passes audio on, and records whether it has passed any."""

    on_audio: Callable[[bytes], None]
    has_begun: bool = False

    def write(self, frames: bytes) -> None:
        self.has_begun = True
        self.on_audio(frames)


@dataclass
class _SpokenSentence:
    """A sentence that was passed on completely. `audio` is none if it came from a clip."""

    digest: str
    provider: str
    fallback: SpeechFallback | None
    cutter: AudioCutter
    audio: bytearray | None = None
    first_byte_seconds: float | None = None


class SpeechSynthesis:
    """Speaks sentences and appends their outcomes to the log.

    `voices` are the requested one and its fallbacks, in order; `cutter` makes one for their format. The first audio of
    a sentence must arrive within `deadline_seconds`.
    """

    def __init__(
        self,
        voices: Sequence[Synthesizer],
        clips: Clips,
        calls: EventLog,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        cutter: Callable[[], AudioCutter] = FrameCutter,
    ) -> None:
        self._voices = voices
        self._cutter = cutter
        self._clips = clips
        self._calls = calls
        self._deadline_seconds = deadline_seconds
        self._recent_texts = RecentTexts()

    async def speak(self, sentence: Sentence, on_audio: Callable[[bytes], None]) -> SentenceAudio:
        """Passes the sentence's audio to `on_audio` as it arrives, in whole frames, then empty bytes.

        Returns what `record_ready` appends. Raises RequestFailed if the sentence was not passed on completely; the
        caller then calls `record_failure`.
        """
        spoken = await self._produce(sentence, _AudioSink(on_audio))
        on_audio(b"")
        await self._store_clip(sentence, spoken)
        return _audio_of(sentence.event, spoken)

    async def record_ready(self, last: Sentence, audio: Sequence[SentenceAudio]) -> None:
        """Appends one `audio.ready` for sentences of one turn, at least one; `last` is the last of them.

        Idempotent: the event's id follows from the turn and the numbers of the sentences.
        """
        first, *later = sorted(audio, key=lambda one: one.sentence)
        turn = last.event
        ready = AudioReady(
            call_id=turn.call_id, attempt=turn.attempt, turn=turn.turn, later=tuple(later), **first.model_dump()
        )
        numbers = ",".join(str(one.sentence) for one in ready.sentences)
        await self._append(ready, last, f"ready/{numbers}")

    async def record_failure(self, sentence: Sentence, reason: str, *, is_on_line: bool = True) -> None:
        """Appends `audio.failed`. If the turn `is_on_line`, the provider's voice speaks it from this sentence on."""
        if is_on_line:
            FALLBACKS.labels(step=SpeechFallback.SAY.value).inc()
        request = sentence.event
        failed = AudioFailed(
            call_id=request.call_id,
            attempt=request.attempt,
            turn=request.turn,
            sentence=request.sentence,
            reason=reason,
            fallback=SpeechFallback.SAY.value if is_on_line else None,
        )
        await self._append(failed, sentence, f"failed/{request.sentence}")

    async def prepare(self, sentence: Sentence, *, is_answered: bool) -> None:
        """Stores the sentence as a clip unless one in the requested voice is stored. Raises RequestFailed.

        `is_answered`: whether the call is answered already.
        """
        missing = None
        if self._voices:
            missing = self._voices[0].build_request(sentence.event).digest
            if await self._clips.has(sentence.clip_name(missing)):
                return
        spoken = await self._produce(sentence, _AudioSink(lambda _: None), missing)
        await self._store_clip(sentence, spoken, is_answered=is_answered)

    def may_share(self, sentence: Sentence) -> bool:
        """Returns whether the clip of a sentence may be played in other calls.

        A greeting or a message without variables may be about one person nevertheless: an upstream system may have
        filled them in. So another person must have heard it recently, as any other text that is not reusable.
        """
        if sentence.is_personal:
            return False
        request = sentence.event
        is_fixed = request.is_reusable and request.turn not in (GREETING_TURN, MESSAGE_TURN)
        return self._recent_texts.add(request.text, sentence.person) or is_fixed

    async def _produce(self, sentence: Sentence, sink: _AudioSink, missing: str | None = None) -> _SpokenSentence:
        """Tries sources 1 to 3, and counts a failure of all of them. Raises RequestFailed.

        `missing`: the digest of a clip that is known not to be stored, which is not read.
        """
        request = sentence.event
        try:
            return await self._try_sources(sentence, sink, missing)
        except RequestFailed as error:
            SENTENCES.labels(outcome="failed").inc()
            logger.warning("speech_failed", turn=request.turn, sentence=request.sentence, reason=str(error))
            raise

    async def _try_sources(self, sentence: Sentence, sink: _AudioSink, missing: str | None) -> _SpokenSentence:
        started_at = asyncio.get_running_loop().time()
        failure = RequestFailed(Failure.NO_CAPACITY, "no voice is configured")
        for index, voice in enumerate(self._voices):
            fallback = SpeechFallback.SECOND_VOICE if index else None
            first_by = started_at + self._deadline_seconds * (index + 1) / len(self._voices)
            try:
                return await self._speak_with(voice, fallback, sentence, first_by, sink, missing)
            except RequestFailed as error:
                if sink.has_begun:
                    raise
                failure = error
        if (spoken := await self._play_any_clip(sentence, sink)) is None:
            raise failure
        return spoken

    async def _speak_with(
        self,
        voice: Synthesizer,
        fallback: SpeechFallback | None,
        sentence: Sentence,
        first_by: float,
        sink: _AudioSink,
        missing: str | None,
    ) -> _SpokenSentence:
        synthesis = voice.build_request(sentence.event)
        may_be_stored = sentence.event.is_reusable and synthesis.digest != missing
        if may_be_stored and (clip := await self._clips.get(sentence.clip_name(synthesis.digest))) is not None:
            return _play_clip(_SpokenSentence(synthesis.digest, voice.name, fallback, self._cutter()), clip, sink)
        tries_left = 1 if fallback else MAX_TRIES
        while True:
            tries_left -= 1
            try:
                spoken = _SpokenSentence(synthesis.digest, voice.name, fallback, self._cutter())
                return await _synthesize(voice, synthesis, first_by, spoken, sink)
            except RequestFailed as error:
                is_transient = error.failure.is_transient or error.failure is Failure.EMPTY
                if sink.has_begun or not tries_left or not is_transient:
                    raise

    async def _play_any_clip(self, sentence: Sentence, sink: _AudioSink) -> _SpokenSentence | None:
        """Plays a clip of the sentence in the voice of the first source that has one; returns none if none has."""
        for voice in self._voices:
            digest = voice.build_request(sentence.event).digest
            if (clip := await self._clips.get(sentence.clip_name(digest))) is not None:
                return _play_clip(_SpokenSentence(digest, "clips", SpeechFallback.CLIP, self._cutter()), clip, sink)
        return None

    async def _store_clip(self, sentence: Sentence, spoken: _SpokenSentence, *, is_answered: bool = True) -> None:
        """Stores a synthesis for all calls if they may share it, or else for this call if the sentence is reusable."""
        if spoken.audio is None:
            return
        request, is_shared = sentence.event, self.may_share(sentence)
        if is_shared or request.is_reusable:
            name = ClipName(spoken.digest, request.call_id, is_personal=not is_shared)
            await self._clips.put(name, bytes(spoken.audio), is_answered=is_answered)

    async def _append(self, event: AudioReady | AudioFailed, sentence: Sentence, outcome: str) -> None:
        event_id = f"{event.call_id}/{event.attempt}/{event.turn}/{outcome}"
        await self._calls.append(event, cause=sentence.envelope, event_id=event_id)


def _audio_of(request: AudioRequested, spoken: _SpokenSentence) -> SentenceAudio:
    """Returns the audio of a sentence that was passed on completely, and counts it."""
    SENTENCES.labels(outcome="synthesized" if spoken.audio else "clip").inc()
    if spoken.fallback is not None:
        FALLBACKS.labels(step=spoken.fallback.value).inc()
    return SentenceAudio(
        sentence=request.sentence,
        duration_seconds=round(spoken.cutter.seconds, 3),
        is_cached=spoken.audio is None,
        provider=spoken.provider,
        first_byte_seconds=spoken.first_byte_seconds,
        fallback=spoken.fallback,
    )


async def _synthesize(
    voice: Synthesizer, synthesis: SynthesisRequest, first_by: float, spoken: _SpokenSentence, sink: _AudioSink
) -> _SpokenSentence:
    """Makes one request to the vendor, and adds its audio to `spoken`. Raises RequestFailed."""
    clock = asyncio.get_running_loop().time
    started_at, audio = clock(), bytearray()
    async with aclosing(voice.synthesize(synthesis, first_by=first_by)) as pieces:
        async for piece in pieces:
            if not (frames := spoken.cutter.feed(piece)):
                continue
            if spoken.first_byte_seconds is None:
                spoken.first_byte_seconds = round(clock() - started_at, 3)
                FIRST_BYTE_SECONDS.observe(spoken.first_byte_seconds)
            audio += frames
            sink.write(frames)
    if not audio:
        raise RequestFailed(Failure.EMPTY, "the vendor sent no audio")
    spoken.audio = audio
    return spoken


def _play_clip(spoken: _SpokenSentence, clip: bytes, sink: _AudioSink) -> _SpokenSentence:
    spoken.cutter.feed(clip)
    sink.write(clip)
    return spoken
