"""Plays a turn while its reply is still being generated: the sentences so far and those to come, in order.

The synthesis of a sentence starts when it is requested, so that its audio is ready when the one before has been sent.
One `audio.ready` at the end names every sentence of which the audio was complete, also if the client disconnected.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from chassis import tracing
from chassis.event_log import EventLog, StoredEvent
from contracts import AudioRequested, CallDecision, ReplyGenerated, SentenceAudio, TransferRequested
from providers import RequestFailed
from voice.application.call_state import load_state
from voice.application.speech.prepared_clips import greeting_sentence, message_sentence
from voice.application.speech.requested_sentences import sentence_in
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.domain.mp3 import SILENCE
from voice.domain.playback import Playback, UnplayedRemainder
from voice.domain.turns import SentenceOrder, TurnId
from voice.metrics import FIRST_AUDIO_SECONDS
from voice.ports import TurnEvents

Write = Callable[[bytes], Awaitable[None]]

MAX_RECORDING_SECONDS = 1.0
"""How long the end of a turn's audio waits until `audio.ready` is stored; after that, the append goes on alone."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Track:
    """A sentence and its audio: MP3 frames, then empty bytes for the end, or the error that ended it early."""

    sentence: Sentence
    audio: asyncio.Queue[bytes | Exception] = field(default_factory=asyncio.Queue)


_Ready = list[tuple[Sentence, SentenceAudio]]
"""The sentences whose audio is complete."""


@dataclass
class _Reply:
    """The end of a reply, once it was received, and whether the callee is transferred after it."""

    end: StoredEvent[ReplyGenerated] | None = None
    has_transfer: bool = False


@dataclass
class _Output:
    """Writes frames, follows their playback, and measures the time until the first ones are written."""

    write: Write
    is_measured: bool
    playback: Playback = field(default_factory=Playback)
    started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def send(self, frames: bytes) -> None:
        await self.write(frames)
        now = asyncio.get_running_loop().time()
        self.playback.add(frames, now=now)
        if self.is_measured:
            FIRST_AUDIO_SECONDS.observe(now - self.started_at)
            self.is_measured = False


class LineClosed(Exception):
    """The attempt is not in progress, so none of its turns may be played."""


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn whose attempt may use its line, and the decision that says so.

    `after_sequence` is that of the `speech.heard` that began the turn; 0 if it is not known.
    """

    id: TurnId
    state: StoredEvent[CallDecision]
    after_sequence: int


class TurnPlayer:
    """Plays turns. A turn ends when no event of it arrives for `max_silence_seconds`."""

    def __init__(
        self, calls: EventLog, events: TurnEvents, synthesis: SpeechSynthesis, *, max_silence_seconds: float
    ) -> None:
        self._calls = calls
        self._events = events
        self._synthesis = synthesis
        self._max_silence_seconds = max_silence_seconds
        self._recordings: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Waits until the turns that were played are recorded. Called while the connection can still append."""
        await asyncio.gather(*self._recordings)

    async def open(self, turn: TurnId, after_sequence: int = 0) -> OpenTurn:
        """Returns the turn, to be played. Raises LineClosed if its attempt may not use its line.

        Then the attempt is over, or has not begun. Any node may answer that the line is open: audio for a line that was
        closed some milliseconds ago is not heard. That it is closed is asked of the leader.
        """
        for may_lag in (True, False):
            state = await load_state(self._calls, turn.call_id, may_lag=may_lag)
            if state is not None and state.event.call.may_use_line(turn.attempt):
                return OpenTurn(turn, state, after_sequence)
        raise LineClosed

    async def play(self, turn: OpenTurn, write: Write, *, is_on_line: bool = True) -> UnplayedRemainder | None:
        """Writes the turn's MP3 frames as they arrive, until its last sentence ends or no more events arrive.

        The audio ends at the first sentence that cannot be played completely, because what follows it could not be
        understood. That sentence is recorded as failed, and the remainder from its beginning is returned. A turn
        without sentences is a moment of silence: a provider may reject audio without bytes. A turn that
        is not played on the call's line (`is_on_line`) has no remainder to speak.
        """
        output = _Output(write, is_measured=not (turn.id.is_greeting or turn.id.is_message))
        ready: _Ready = []
        reply = _Reply()
        try:
            failure = await self._play(turn, output.send, ready, reply)
        finally:
            await self._record_ready(ready)
        if failure is None:
            return self._act_after(turn, reply, output) if is_on_line else None
        sentence, error = failure
        await self._record_failure(sentence, error, is_on_line=is_on_line)
        if not is_on_line:
            return None
        return UnplayedRemainder(
            sentence.event.sentence, output.playback.ends_at, sentence.envelope.traceparent, turn.after_sequence
        )

    def _act_after(self, turn: OpenTurn, reply: _Reply, output: _Output) -> UnplayedRemainder | None:
        """Returns the empty remainder of a reply after which the edge acts, once it was heard.

        It presses the keys that the reply requests, or begins the transfer that the reply announces.
        """
        if reply.end is None or not (reply.end.event.digits or reply.has_transfer):
            return None
        ends_at, traceparent = output.playback.ends_at, reply.end.envelope.traceparent
        return UnplayedRemainder(reply.end.event.sentences, ends_at, traceparent, turn.after_sequence)

    async def _play(
        self, turn: OpenTurn, write: Write, ready: _Ready, reply: _Reply
    ) -> tuple[Sentence, Exception] | None:
        """Returns the sentence that was not played completely, and why. Fills `ready` and `reply`."""
        tracks: asyncio.Queue[_Track | None] = asyncio.Queue()
        syntheses: list[asyncio.Task[None]] = []  # indexed by sentence number
        async with asyncio.TaskGroup() as tasks:

            def start_synthesis(sentence: Sentence) -> None:
                tracks.put_nowait(track := _Track(sentence))
                syntheses.append(tasks.create_task(self._synthesize(track, ready)))

            reading = tasks.create_task(self._start_syntheses(turn, start_synthesis, tracks, reply))
            while (track := await tracks.get()) is not None:
                if error := await _write_audio(track, write):
                    # Earlier syntheses go on: their clips are stored, and their sentences were played.
                    for task in (reading, *syntheses[track.sentence.event.sentence + 1 :]):
                        task.cancel()
                    return track.sentence, error
        if not syntheses:
            await write(SILENCE)
        return None

    async def _record_ready(self, ready: _Ready) -> None:
        """Appends `audio.ready`, also if this task is cancelled. Returns after `MAX_RECORDING_SECONDS` at most."""
        if not ready:
            return
        recording = asyncio.create_task(self._append_ready(ready))
        self._recordings.add(recording)
        recording.add_done_callback(self._recordings.discard)
        await asyncio.wait({recording}, timeout=MAX_RECORDING_SECONDS)

    async def _append_ready(self, ready: _Ready) -> None:
        last, _ = max(ready, key=lambda one: one[0].event.sentence)
        try:
            await self._synthesis.record_ready(last, [audio for _, audio in ready])
        except Exception as error:  # what was played is played
            logger.warning("turn_not_recorded", error=type(error).__name__, exc_info=error)

    async def _record_failure(self, sentence: Sentence, error: Exception, *, is_on_line: bool) -> None:
        reason = str(error) if isinstance(error, RequestFailed) else type(error).__name__
        try:
            await self._synthesis.record_failure(sentence, reason, is_on_line=is_on_line)
        except Exception as append_error:  # the remainder is spoken even if the failure is not recorded
            logger.warning("failure_not_recorded", error=type(append_error).__name__, exc_info=append_error)

    async def _start_syntheses(
        self,
        turn: OpenTurn,
        start_synthesis: Callable[[Sentence], None],
        tracks: asyncio.Queue[_Track | None],
        reply: _Reply,
    ) -> None:
        try:
            async with aclosing(self._read_sentences(turn, reply)) as sentences:
                async for sentence in sentences:
                    start_synthesis(sentence)
        except Exception as error:  # the sentences read so far are still played
            logger.warning(
                "turn_interrupted",
                attempt=turn.id.attempt,
                turn=turn.id.number,
                error=type(error).__name__,
                exc_info=error,
            )
        finally:
            tracks.put_nowait(None)

    async def _read_sentences(self, opened: OpenTurn, reply: _Reply) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of the turn in order, from the first on, as they are requested."""
        turn, state = opened.id, opened.state
        if turn.is_greeting:
            yield greeting_sentence(state.event.call, turn.attempt, state.envelope)
            return
        if turn.is_message:
            if message := message_sentence(state.event.call, turn.attempt, state.envelope):
                yield message
            return
        order = SentenceOrder[Sentence]()
        clock = asyncio.get_running_loop().time
        deadline_at = clock() + self._max_silence_seconds
        async with self._events.follow(turn.call_id, opened.after_sequence) as events:
            while not order.is_complete:
                try:
                    async with asyncio.timeout_at(deadline_at):
                        stored = await anext(events)
                except TimeoutError:
                    logger.warning("turn_timed_out", attempt=turn.attempt, turn=turn.number)
                    return
                event = stored.event
                if not isinstance(event, AudioRequested | ReplyGenerated | TransferRequested):
                    continue
                if (event.attempt, event.turn) != (turn.attempt, turn.number):
                    continue
                deadline_at = clock() + self._max_silence_seconds
                if isinstance(event, ReplyGenerated):
                    order.close(event.sentences)
                    reply.end = StoredEvent(event, stored.envelope, stored.sequence)
                elif isinstance(event, TransferRequested):
                    reply.has_transfer = True
                if sentence := sentence_in(stored, state.event.call):
                    for ready in order.add(sentence.event.sentence, sentence):
                        yield ready

    async def _synthesize(self, track: _Track, ready: _Ready) -> None:
        try:
            with tracing.span("speak", tracing.SERVE, track.sentence.envelope.traceparent):
                audio = await self._synthesis.speak(track.sentence, track.audio.put_nowait)
                ready.append((track.sentence, audio))
        except RequestFailed as error:
            track.audio.put_nowait(error)
        except Exception as error:  # after the end of the audio, this error is in the queue but not read
            logger.warning("sentence_failed", error=type(error).__name__, exc_info=error)
            track.audio.put_nowait(error)


async def _write_audio(track: _Track, write: Write) -> Exception | None:
    """Returns the error that ended the audio early; none if it was written completely.

    Frames that have arrived are written at once, in one piece.
    """
    while True:
        frames = bytearray()
        piece: bytes | Exception | None = await track.audio.get()
        while isinstance(piece, bytes) and piece:
            frames += piece
            piece = None if track.audio.empty() else track.audio.get_nowait()
        if frames:
            await write(bytes(frames))
        if isinstance(piece, Exception):
            return piece
        if piece is not None:  # empty bytes: the end
            return None
