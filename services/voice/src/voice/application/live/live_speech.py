"""Speaks the sentences of one live call: clips, one socket for the call, and the fallbacks of turn-based calls.

A reply is a context of the socket, so its sentences share their prosody, and none of them waits for a connection: the
socket is opened while the greeting plays. Reusable sentences come from clips. A sentence that the socket does not
bring, or not to its end, is synthesized over HTTP (`speech.synthesis`, in mu-law): what was passed on of it is skipped,
because voice and text are the same. A socket that is lost is opened again at once, and then no more until one lasts.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count

import structlog

from contracts import SentenceAudio
from providers import Failure, RequestFailed
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.domain.audio_formats import MU_LAW_BYTES_A_SECOND
from voice.domain.live.alignments import Alignment, ReplyAudio
from voice.domain.live.speech_stream import ContextFinished, SpokenAudio
from voice.ports import SpeechStream, SpeechStreams

MAX_SILENT_SECONDS = 2.5
"""How long a context may bring nothing while a sentence of it is due."""
_LATE_INTERVAL_SECONDS = 0.5
LASTING_SECONDS = 30.0
"""A socket that lasted for so long may be replaced when it is lost."""

logger = structlog.get_logger()

OnAudio = Callable[[bytes, Alignment | None], None]
Synthesis = Callable[[], Coroutine[None, None, SentenceAudio]]
"""Waits for a synthesis, and returns what `record_ready` appends. Raises RequestFailed if it is not complete."""


@dataclass(eq=False)
class _Expected:
    """A sentence whose audio is expected from a context."""

    on_audio: OnAudio
    is_complete: asyncio.Future[None]
    bytes_passed: int = 0
    first_at: float | None = None


@dataclass(eq=False)
class _Context:
    """The reply of one turn, on the socket that was open when it began."""

    name: str
    vendor: str
    stream: SpeechStream
    audio: ReplyAudio = field(default_factory=ReplyAudio)
    expected: dict[int, _Expected] = field(default_factory=dict)
    active_at: float = 0.0
    is_open: bool = True
    is_finishing: bool = False
    """Whether its end was requested: the vendor reports that after its last audio."""

    def is_late(self, expected: _Expected, now: float) -> bool:
        """Whether the vendor brings nothing, though a sentence has no audio yet, or the context should have ended."""
        is_due = self.is_finishing or not expected.bytes_passed
        return is_due and now >= self.active_at + MAX_SILENT_SECONDS

    def fail(self, failure: Failure, reason: str) -> None:
        """Ends the context; its sentences are to be synthesized otherwise."""
        self.is_open = False
        for expected in self.expected.values():
            if not expected.is_complete.done():
                expected.is_complete.set_exception(RequestFailed(failure, reason))


class LiveSpeech:
    """The speech of one call. `run` must run meanwhile; without it, or without `streams`, HTTP is used."""

    def __init__(
        self, synthesis: SpeechSynthesis, streams: SpeechStreams | None, *, language: str, voice: str | None
    ) -> None:
        self._synthesis = synthesis
        self._streams = streams
        self._language = language
        self._voice = voice
        self._stream: SpeechStream | None = None
        self._contexts: dict[str, _Context] = {}
        self._current: tuple[int, _Context] | None = None
        self._numbers = count(1)
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Keeps the socket open until it is cancelled, or until it was lost twice."""
        may_reopen = True
        while self._streams is not None:
            opened_at = self._clock()
            try:
                async with self._streams.open(language=self._language, voice=self._voice) as stream:
                    await self._receive(stream)
            except RequestFailed as error:
                logger.warning("speech_stream_lost", reason=str(error))
            finally:
                self._lose_stream()
            if not may_reopen and self._clock() - opened_at < LASTING_SECONDS:
                break
            may_reopen = False
        await asyncio.get_running_loop().create_future()

    def speak(self, sentence: Sentence, on_audio: OnAudio) -> Synthesis:
        """Sends a sentence to the vendor, and returns its synthesis.

        Mu-law is passed to `on_audio` as it arrives, with its alignment if that is known.
        """
        context, number = self._context_for(sentence), sentence.event.sentence
        if context is None:
            return lambda: self._synthesis.speak(sentence, lambda audio: on_audio(audio, None))
        expected = _Expected(on_audio, asyncio.get_running_loop().create_future())
        context.active_at = self._clock()
        context.expected[number] = expected
        context.audio.expect(number, sentence.event.text)
        context.stream.speak(context.name, sentence.event.text)
        return lambda: self._stream_or_fall_back(context, sentence, expected)

    async def record(self, sentence: Sentence, audio: SentenceAudio) -> None:
        """Appends `audio.ready` for a sentence that was heard."""
        await self._synthesis.record_ready(sentence, [audio])

    async def record_failure(self, sentence: Sentence, reason: str) -> None:
        """Appends `audio.failed`: the provider's voice speaks the turn from this sentence on."""
        await self._synthesis.record_failure(sentence, reason)

    def finish_reply(self) -> None:
        """Ends the context of the present reply: it has no further sentences, or is not heard any more."""
        if self._current is not None:
            _, context = self._current
            if context.is_open:
                context.is_finishing, context.active_at = True, self._clock()
            context.stream.close(context.name)  # also one that failed: a socket has few contexts
            self._current = None

    def _context_for(self, sentence: Sentence) -> _Context | None:
        """Returns the context of the sentence's turn, begun if need be; none if the socket cannot speak it."""
        request = sentence.event
        if request.is_reusable or request.voice != self._voice or self._stream is None or self._streams is None:
            return None
        if self._current is None or self._current[0] != request.turn:
            self.finish_reply()
            name = str(next(self._numbers))
            context = self._contexts[name] = _Context(name, self._streams.name, self._stream)
            self._stream.begin(name)
            self._current = request.turn, context
        _, context = self._current
        return context if context.is_open else None

    async def _stream_or_fall_back(self, context: _Context, sentence: Sentence, expected: _Expected) -> SentenceAudio:
        try:
            return await self._receive_sentence(context, sentence.event.sentence, expected)
        except RequestFailed as error:
            logger.warning("sentence_not_streamed", reason=str(error))
        skip = _Skip(expected.bytes_passed, expected.on_audio)
        return await self._synthesis.speak(sentence, skip.pass_on)

    async def _receive_sentence(self, context: _Context, number: int, expected: _Expected) -> SentenceAudio:
        started_at = self._clock()
        try:
            while not expected.is_complete.done():
                if context.is_late(expected, self._clock()):
                    context.fail(Failure.DEADLINE, "the context brings nothing")
                await asyncio.wait({expected.is_complete}, timeout=_LATE_INTERVAL_SECONDS)
            expected.is_complete.result()
        finally:
            context.expected.pop(number, None)
        if not expected.bytes_passed:
            raise RequestFailed(Failure.EMPTY, "the vendor sent no audio")
        return SentenceAudio(
            sentence=number,
            duration_seconds=round(expected.bytes_passed / MU_LAW_BYTES_A_SECOND, 3),
            is_cached=False,
            provider=context.vendor,
            first_byte_seconds=round(max(0.0, (expected.first_at or started_at) - started_at), 3),
        )

    async def _receive(self, stream: SpeechStream) -> None:
        """Divides what the socket brings among the sentences, until it ends. Raises RequestFailed."""
        self._stream = stream
        async for message in stream.messages():
            context = self._contexts.get(message.context or "")
            if context is None:
                continue
            if isinstance(message, ContextFinished):
                del self._contexts[context.name]
            if not context.is_open:
                continue
            context.active_at = self._clock()
            if isinstance(message, SpokenAudio):
                parts = context.audio.add(message.audio, message.alignment)
            elif isinstance(message, ContextFinished):
                parts = context.audio.finish()
            else:
                context.fail(Failure.SERVER_ERROR, "the vendor refused a sentence")
                continue
            for part in parts:
                if (expected := context.expected.get(part.sentence)) is None or expected.is_complete.done():
                    continue
                if part.audio:
                    expected.first_at = expected.first_at or self._clock()
                    expected.bytes_passed += len(part.audio)
                    expected.on_audio(part.audio, part.alignment)
                if part.is_last:
                    expected.is_complete.set_result(None)

    def _lose_stream(self) -> None:
        self._stream = None
        for context in self._contexts.values():
            context.fail(Failure.CUT_OFF, "the socket was lost")
        self._contexts.clear()


@dataclass
class _Skip:
    """Passes audio on without its first bytes."""

    bytes_left: int
    on_audio: OnAudio

    def pass_on(self, audio: bytes) -> None:
        skipped = min(self.bytes_left, len(audio))
        self.bytes_left -= skipped
        if audio[skipped:]:
            self.on_audio(audio[skipped:], None)
