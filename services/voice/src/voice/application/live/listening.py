"""What the callee says in one live call: voices, transcripts, and when a turn is over.

The audio goes to the transcriber without a pause, because a session that gets none becomes slow: in messages of 100 ms,
of 300 ms while the callee is silent, and at once with a commit. A session that is lost is opened again at once; a
second loss within `LASTING_SECONDS` ends the live conversation. What was said meanwhile waits, up to a limit.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import structlog

from providers import RequestFailed
from voice.domain.live import barge_in
from voice.domain.live.barge_in import BargeIn
from voice.domain.live.endpointing import Commit, Endpointing, TranscriberSilent
from voice.domain.live.media_stream import FRAME_BYTES, FrameCutter
from voice.domain.live.playout import Playing
from voice.domain.live.spoken_turn import TurnOver
from voice.domain.live.transcription import CommittedTranscript, ErrorKind, PartialTranscript, TranscriptionError
from voice.domain.live.turn_policy import TurnPolicy
from voice.domain.live.voicing import VoiceActivity, Voicing
from voice.ports import Transcriber, Transcription

MESSAGE_BYTES = 5 * FRAME_BYTES
"""100 ms: messages of 20 ms cost a quarter more CPU, and a commit sends what waits."""
SILENT_MESSAGE_BYTES = 15 * FRAME_BYTES
"""300 ms while the callee is silent, which is most of the time. What waits is sent as soon as a voice begins."""
MAX_WAITING_BYTES = 150 * FRAME_BYTES
"""Three seconds of audio wait for a session to open; older audio is dropped."""
LASTING_SECONDS = 30.0

logger = structlog.get_logger()


class Listener(Protocol):
    """Is called when the callee says something."""

    def on_barge_in(self, decision: barge_in.Pause | barge_in.Interrupt | barge_in.Resume) -> None:
        """A sound, or words, during our speech."""
        ...

    def on_transcript(self) -> None:
        """A requested transcript has arrived: decide anew."""
        ...

    def on_turn_over(self, turn: TurnOver) -> None:
        """The callee has finished."""
        ...

    def on_transcriber_lost(self) -> None:
        """Nothing can be transcribed any more."""
        ...


class Listening:
    """Listens to one callee. `run` must run meanwhile, and `decide` be called every 100 ms."""

    def __init__(
        self,
        transcriber: Transcriber,
        activity: VoiceActivity,
        listener: Listener,
        playing: Callable[[], Playing | None],
        *,
        language: str,
        policy: TurnPolicy,
    ) -> None:
        self._transcriber = transcriber
        self._listener = listener
        self._playing = playing
        self._language = language
        self._voicing = Voicing(activity)
        self._cutter = FrameCutter()
        self._session: Transcription | None = None
        self._waiting = bytearray()
        self._clock = asyncio.get_running_loop().time
        self._previous_text: str | None = None
        self.endpointing = Endpointing(language, policy)
        self.barge_in = BargeIn(language, policy)
        self.frames = 0
        """How many frames were received."""

    async def run(self, previous_text: str) -> None:
        """Keeps a session open until it is cancelled. `previous_text` is what the callee said on an earlier stream."""
        self._previous_text = previous_text or None
        losses = 0
        while losses < 2:
            opened_at = self._clock()
            try:
                async with self._transcriber.open(
                    language=self._language, previous_text=self._previous_text
                ) as session:
                    self._session = session
                    self._send(is_commit=False)
                    await self._receive(session)
            except RequestFailed as error:
                logger.warning("transcriber_lost", reason=str(error))
            self._session = None
            self.endpointing.reopened(self._clock())
            losses = 1 if self._clock() - opened_at >= LASTING_SECONDS else losses + 1
        self._listener.on_transcriber_lost()
        await asyncio.get_running_loop().create_future()

    def receive(self, payload: bytes) -> None:
        """Takes audio of the callee: mu-law, of any length."""
        now = self._clock()
        for frame in self._cutter.feed(payload):
            self.frames += 1
            voice = self._voicing.judge(frame)
            self.endpointing.voiced(now, voice.is_voiced)
            if voice.is_voiced or self.barge_in.needs_silence:
                self._act(self.barge_in.voiced(now, voice, self._playing()))
            self._waiting += frame
        if self._session is None:
            del self._waiting[:-MAX_WAITING_BYTES]
        elif len(self._waiting) >= (MESSAGE_BYTES if self.endpointing.is_speaking else SILENT_MESSAGE_BYTES):
            self._send(is_commit=False)

    def press_key(self) -> None:
        """Takes a key that the callee pressed."""
        self._act(self.barge_in.key(self._clock(), self._playing()))

    def decide(self, *, may_end: bool) -> None:
        """Does what is due now. `may_end`: whether the callee's turn may end, as in `Endpointing.decide`."""
        match self.endpointing.decide(self._clock(), may_end=may_end):
            case Commit():
                self._send(is_commit=True)
            case TurnOver() as turn:
                self._previous_text = turn.text or self._previous_text
                self._listener.on_turn_over(turn)
            case TranscriberSilent():
                logger.warning("transcriber_silent")
                self._listener.on_transcriber_lost()

    async def _receive(self, session: Transcription) -> None:
        async with aclosing(session.transcripts()) as transcripts:
            async for transcript in transcripts:
                now = self._clock()
                match transcript:
                    case PartialTranscript(text=text):
                        self.endpointing.partial(text, now)
                        self._act(self.barge_in.words(now, text, self._playing()))
                    case CommittedTranscript(text=text):
                        self.endpointing.committed(text, now)
                        self._act(self.barge_in.words(now, text, self._playing()))
                        self._listener.on_transcript()
                    case TranscriptionError(kind=ErrorKind.COMMIT_THROTTLED):
                        self.endpointing.throttled(now)

    def _send(self, *, is_commit: bool) -> None:
        if self._session is not None and (self._waiting or is_commit):
            self._session.feed(bytes(self._waiting), is_commit=is_commit)
            self._waiting.clear()

    def _act(self, decision: barge_in.Decision) -> None:
        match decision:
            case barge_in.Dismiss():
                self.endpointing.discard()
            case barge_in.Pause() | barge_in.Interrupt() | barge_in.Resume():
                if isinstance(decision, barge_in.Resume):
                    self.endpointing.discard()
                self._listener.on_barge_in(decision)
