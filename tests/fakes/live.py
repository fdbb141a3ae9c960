"""A live call with fakes at all its ends: the line, the transcriber, the speech vendor, the log and conversation."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast
from uuid import UUID

from tests.builders.calls import a_call
from tests.builders.events import status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.voice import FakeClips, FakeSynthesizer

from chassis.event_log import StoredEvent
from contracts import (
    AudioRequested,
    CallDecision,
    CallStatus,
    ConversationEnded,
    Disposition,
    Envelope,
    Event,
    MediaClosedReason,
    ReplyGenerated,
    SpeechHeard,
    TransferKind,
    TransferRequested,
)
from contracts.call import Call
from contracts.vocabulary import ConversationMode
from providers import Failure, RequestFailed
from voice.application.live.call_record import CallRecord
from voice.application.live.live_call import LiveCall, Resources
from voice.application.live.live_calls import Conversation, LiveCalls, StreamId
from voice.application.live.live_speech import LiveSpeech
from voice.application.speech.synthesis import SpeechSynthesis
from voice.domain.audio_formats import MuLawCutter
from voice.domain.live.alignments import Alignment
from voice.domain.live.media_stream import FRAME_BYTES, FRAME_SECONDS
from voice.domain.live.speech_stream import ContextFinished, SpokenAudio, SynthesisError
from voice.domain.live.transcription import CommittedTranscript, PartialTranscript, TranscriptionError
from voice.domain.live.turn_policy import TurnPolicy

if TYPE_CHECKING:
    from chassis.event_log import EventLog

BYTES_PER_SECOND = 8000
SILENCE = b"\xff" * FRAME_BYTES
VOICE = b"\x00\x80" * (FRAME_BYTES // 2)
"""The loudest frame that mu-law has."""
SECONDS_PER_CHARACTER = 0.05


def speech_of(text: str) -> bytes:
    """Returns audio as long as the text takes: 20 characters a second."""
    return b"\x20" * round(len(text) * SECONDS_PER_CHARACTER * BYTES_PER_SECOND)


def alignment_of(text: str) -> Alignment:
    """Returns the alignment of `speech_of`."""
    starts = tuple(index * SECONDS_PER_CHARACTER for index in range(len(text)))
    return Alignment(text, starts, tuple(start + SECONDS_PER_CHARACTER for start in starts))


@dataclass
class FollowedEventLog(FakeEventLog):
    """A log whose events can be followed, as `voice.ports.CallEvents` does."""

    followers: list[asyncio.Queue[StoredEvent]] = field(default_factory=list)

    def store(self, event: Event, event_id: str | None = None, cause: Envelope | None = None) -> StoredEvent:
        stored = super().store(event, event_id, cause)
        for follower in self.followers:
            follower.put_nowait(stored)
        return stored

    @asynccontextmanager
    async def follow_call(self, call_id: UUID, after_sequence: int) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        queue: asyncio.Queue[StoredEvent] = asyncio.Queue()
        for stored in self.stored[after_sequence:]:
            queue.put_nowait(stored)
        self.followers.append(queue)
        yield _events(queue)
        self.followers.remove(queue)


async def _events(queue: asyncio.Queue[StoredEvent]) -> AsyncIterator[StoredEvent]:
    while True:
        yield await queue.get()


@dataclass
class FakeLine:
    """Plays what it receives in real time, and returns marks as Twilio does."""

    call: LiveCall | None = None
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    cleared_at: list[float] = field(default_factory=list)
    is_playing: bool = True
    """False: nothing is played, and no mark returns."""
    heard: bytearray = field(default_factory=bytearray)
    """What was played, without what a `clear` discarded."""
    _buffered: list[tuple[float, bytes]] = field(default_factory=list)
    _marks: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _ends_at: float = 0.0

    def send_audio(self, audio: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self.sent.append((now, audio))
        self._buffered.append((max(self._ends_at, now), audio))
        self._ends_at = max(self._ends_at, now) + len(audio) / BYTES_PER_SECOND

    def send_mark(self, name: str) -> None:
        if self.is_playing:
            loop = asyncio.get_running_loop()
            self._marks[name] = loop.call_at(max(self._ends_at, loop.time()), self._return_mark, name)

    def clear(self) -> None:
        now = asyncio.get_running_loop().time()
        self.cleared_at.append(now)
        self._play_until(now)
        self._buffered.clear()
        self._ends_at = now
        for name, handle in [*self._marks.items()]:
            handle.cancel()
            asyncio.get_running_loop().call_soon(self._return_mark, name)

    @property
    def has_pending_marks(self) -> bool:
        """Whether a mark has not returned yet."""
        return bool(self._marks)

    def played(self) -> bytes:
        """Returns what was played until now."""
        self._play_until(asyncio.get_running_loop().time())
        return bytes(self.heard)

    def _play_until(self, now: float) -> None:
        left = []
        for start, audio in self._buffered:
            count = max(0, min(len(audio), round((now - start) * BYTES_PER_SECOND)))
            self.heard += audio[:count]
            if audio[count:]:
                left.append((start + count / BYTES_PER_SECOND, audio[count:]))
        self._buffered = left

    def _return_mark(self, name: str) -> None:
        if self._marks.pop(name, None) is not None and self.call is not None:
            self.call.receive_mark(name)


class FakeActivity:
    """Detects frames that are not silent."""

    def is_voiced(self, frame: bytes) -> bool:
        return frame != SILENCE


@dataclass
class FakeTranscription:
    """A session that answers each commit with what the callee said, after `commit_seconds`."""

    owner: "FakeTranscriber"
    queue: asyncio.Queue[PartialTranscript | CommittedTranscript | TranscriptionError | Exception] = field(
        default_factory=asyncio.Queue
    )

    def feed(self, audio: bytes, *, is_commit: bool = False) -> None:
        self.owner.audio += audio
        self.owner.sizes.append(len(audio))
        if is_commit:
            self.owner.commits += 1
            words, self.owner.words = self.owner.words, ""
            if not self.owner.is_silent:
                answer = CommittedTranscript(words)
                asyncio.get_running_loop().call_later(self.owner.commit_seconds, self.queue.put_nowait, answer)

    async def transcripts(self) -> AsyncGenerator[PartialTranscript | CommittedTranscript | TranscriptionError, None]:
        while True:
            transcript = await self.queue.get()
            if isinstance(transcript, Exception):
                raise transcript
            yield transcript


@dataclass
class FakeTranscriber:
    """Transcribes `words` at the next commit. The first `failures` attempts to open a session fail."""

    failures: int = 0
    commit_seconds: float = 0.3
    is_silent: bool = False
    close_seconds: float = 0.0
    words: str = ""
    audio: bytearray = field(default_factory=bytearray)
    sizes: list[int] = field(default_factory=list)
    """The length of each message with audio."""
    commits: int = 0
    opened: list[str | None] = field(default_factory=list)
    session: FakeTranscription | None = None

    @asynccontextmanager
    async def open(self, *, language: str, previous_text: str | None = None) -> AsyncIterator[FakeTranscription]:
        self.opened.append(previous_text)
        if self.failures:
            self.failures -= 1
            raise RequestFailed(Failure.UNREACHABLE)
        self.session = FakeTranscription(self)
        try:
            yield self.session
        finally:
            await asyncio.sleep(self.close_seconds)

    def hear(self, text: str) -> None:
        """Reports what the callee says, before it is committed."""
        self.words = text
        assert self.session is not None
        self.session.queue.put_nowait(PartialTranscript(text))

    def lose(self) -> None:
        """Ends the session with a failure."""
        assert self.session is not None
        self.session.queue.put_nowait(RequestFailed(Failure.CUT_OFF))


@dataclass
class FakeSpeechStream:
    """A socket that speaks each sentence in two pieces, `delay_seconds` after it was sent."""

    owner: "FakeSpeechStreams"
    queue: asyncio.Queue[SpokenAudio | ContextFinished | SynthesisError | Exception] = field(
        default_factory=asyncio.Queue
    )
    _unsent: deque[SpokenAudio | ContextFinished] = field(default_factory=deque)

    def begin(self, context: str) -> None:
        self.owner.contexts.append(context)

    def speak(self, context: str, text: str) -> None:
        self.owner.texts.append((context, text))
        if self.owner.is_mute:
            return
        spoken = text.strip() + " "
        half = len(spoken) // 2
        for part in (spoken[:half], spoken[half:]):
            self._send(SpokenAudio(context, speech_of(part), alignment_of(part)))

    def close(self, context: str) -> None:
        self.owner.closed.append(context)
        self._send(ContextFinished(context))

    def _send(self, message: SpokenAudio | ContextFinished) -> None:
        """Sends a message after the delay, in order: the loop runs timers of the same instant in any order."""
        self._unsent.append(message)
        loop = asyncio.get_running_loop()
        loop.call_later(self.owner.delay_seconds, lambda: self.queue.put_nowait(self._unsent.popleft()))

    async def messages(self) -> AsyncGenerator[SpokenAudio | ContextFinished | SynthesisError, None]:
        while True:
            message = await self.queue.get()
            if isinstance(message, Exception):
                raise message
            yield message


@dataclass
class FakeSpeechStreams:
    """Opens sockets; the first `failures` attempts fail."""

    name: str = "fake"
    failures: int = 0
    is_mute: bool = False
    delay_seconds: float = 0.15
    opened: int = 0
    contexts: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    stream: FakeSpeechStream | None = None

    @asynccontextmanager
    async def open(self, *, language: str, voice: str | None) -> AsyncIterator[FakeSpeechStream]:
        self.opened += 1
        if self.failures:
            self.failures -= 1
            raise RequestFailed(Failure.UNREACHABLE)
        self.stream = FakeSpeechStream(self)
        yield self.stream


class TextSynthesizer(FakeSynthesizer):
    """A voice over HTTP whose audio is as long as its text, and comes after `delay_seconds`."""

    delay_seconds = 0.0

    async def synthesize(self, request, *, first_by):  # type: ignore[no-untyped-def]
        self.spoken.append((request.voice, request.text))
        await asyncio.sleep(self.delay_seconds)
        if self.failures:
            raise RequestFailed(self.failures.pop(0))
        yield speech_of(request.text)


@dataclass
class Answer:
    """What conversation answers to an utterance."""

    sentences: Sequence[str]
    seconds: float = 0.3
    ends: bool = False
    digits: str = ""
    transfers: bool = False


class LiveFixture:
    """A live call in virtual time, and its callee. Use it as a context manager."""

    def __init__(self, *answers: Answer, log: FollowedEventLog | None = None, generation: int = 1, **changes: object):
        fields = {"script_template": "Good morning.\n\nSell.", "variables": {}, "language": "en", **changes}
        call = a_call(CallStatus.IN_PROGRESS, **fields)  # type: ignore[arg-type]
        self.call: Call = call.model_copy(update={"mode": ConversationMode.LIVE})
        self.log = log or FollowedEventLog()
        self.answers = list(answers)
        self.line = FakeLine()
        self.transcriber = FakeTranscriber()
        self.streams = FakeSpeechStreams()
        self.http = TextSynthesizer("http")
        self.clips = FakeClips()
        self.stream = StreamId(self.call.call_id, self.call.attempt, generation)
        self.frame = SILENCE
        self.reason: MediaClosedReason | None = None

    async def __aenter__(self) -> Self:
        log = cast("EventLog", self.log)
        state = self.log.store(status_changed(self.call))
        assert isinstance(state.event, CallDecision)
        decision = StoredEvent(state.event, state.envelope, state.sequence)
        synthesis = SpeechSynthesis([self.http], self.clips, log, cutter=MuLawCutter)
        speech = LiveSpeech(synthesis, self.streams, language=self.call.language, voice=self.call.voice)
        record = CallRecord(log, self.stream, decision)
        resources = Resources(self.log, self.transcriber, TurnPolicy())
        self.live = LiveCall(
            self.stream, f"MZ{self.stream.generation}", self.call, self.line, record, speech, FakeActivity(), resources
        )
        self.line.call = self.live
        works = self._callee(), self._conversation(), self.ticks(self.live)
        self._tasks = [asyncio.create_task(work) for work in works]
        self.running = asyncio.create_task(self.live.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.running.done():
            self.live.end(MediaClosedReason.HANG_UP)
        self.reason = await self.running
        self.played = self.line.played()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def talk(self, text: str, seconds: float = 1.0, *, partial_after: float = 0.3) -> None:
        """The callee says something; its first transcript comes after a moment."""
        self.frame = VOICE
        await asyncio.sleep(min(partial_after, seconds))
        if text:
            self.transcriber.hear(text)
        await asyncio.sleep(max(0.0, seconds - partial_after))
        self.frame = SILENCE

    def begin_to_talk(self, text: str, seconds: float) -> None:
        """The callee begins to say something."""
        self._tasks.append(asyncio.create_task(self.talk(text, seconds)))

    async def until(self, kind: type[Event], count: int = 1, *, seconds: float = 60) -> list[Event]:
        """Waits until the log has as many events of a type, and returns them."""
        async with asyncio.timeout(seconds):
            while len(found := self.log.events(kind)) < count:
                await asyncio.sleep(0.02)
        return found

    async def end(self) -> MediaClosedReason:
        """Waits until the stream ends."""
        async with asyncio.timeout(120):
            return await asyncio.shield(self.running)

    async def ticks(self, conversation: Conversation) -> None:
        """Lets the conversation do what is due, as in a process that conducts this call alone."""
        calls = LiveCalls(cast("EventLog", self.log), max_calls=1)
        calls.begin(self.stream, conversation)
        await calls.run()

    async def _callee(self) -> None:
        next_at = asyncio.get_running_loop().time()
        while True:
            self.live.receive_audio(self.frame)
            next_at += FRAME_SECONDS
            await asyncio.sleep(next_at - asyncio.get_running_loop().time())

    async def _conversation(self) -> None:
        """Answers each utterance, as the service conversation does."""
        answered = 0
        queue: asyncio.Queue[StoredEvent] = asyncio.Queue()
        self.log.followers.append(queue)
        while True:
            event = (await queue.get()).event
            if isinstance(event, SpeechHeard) and answered < len(self.answers):
                answer, answered = self.answers[answered], answered + 1
                await asyncio.sleep(answer.seconds)
                self.answer(event.turn, answer)

    def request_transfer(self, turn: int) -> None:
        """Appends that the reply of a turn announces a transfer."""
        self.log.store(
            TransferRequested(
                call_id=self.call.call_id,
                attempt=self.call.attempt,
                turn=turn,
                destination="sales",
                kind=TransferKind.COLD,
                phone_number="+12125550145",
            )
        )

    def answer(self, turn: int, answer: Answer) -> None:
        """Appends the reply to a turn."""
        call = self.call
        for number, text in enumerate(answer.sentences):
            self.log.store(
                AudioRequested(
                    call_id=call.call_id,
                    attempt=call.attempt,
                    turn=turn,
                    sentence=number,
                    text=text,
                    language=call.language,
                )
            )
        if answer.transfers:
            self.request_transfer(turn)
        self.log.store(
            ReplyGenerated(
                call_id=call.call_id,
                attempt=call.attempt,
                turn=turn,
                text=" ".join(answer.sentences),
                sentences=len(answer.sentences),
                model="m",
                latency_seconds=0,
                digits=answer.digits,
            )
        )
        if answer.ends:
            self.log.store(
                ConversationEnded(
                    call_id=call.call_id,
                    attempt=call.attempt,
                    turn=turn,
                    disposition=Disposition.CONFIRMED,
                    summary="",
                    fields={},
                    goodbye_seconds=1,
                )
            )
