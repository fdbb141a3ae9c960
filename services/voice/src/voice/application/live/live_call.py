"""One live call whose stream carries audio: it is transcribed and synthesized here (`streamed_call`)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from contracts import MediaClosedReason
from contracts.call import Call
from voice.application.live.call_record import CallRecord
from voice.application.live.listening import Listening
from voice.application.live.live_calls import StreamId
from voice.application.live.live_speech import LiveSpeech
from voice.application.live.speaker import Listener
from voice.application.live.speaking import Speaking
from voice.application.live.streamed_call import StreamedCall, Work
from voice.domain.live import barge_in
from voice.domain.live.media_stream import FRAME_SECONDS
from voice.domain.live.spoken_turn import TurnOver
from voice.domain.live.turn_policy import TurnPolicy
from voice.domain.live.voicing import VoiceActivity
from voice.ports import CallEvents, Line, Transcriber

_MAX_TIMER_SECONDS = 1.5 * FRAME_SECONDS
"""Later decisions follow the next frame."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What the live calls of one process have in common."""

    events: CallEvents
    transcriber: Transcriber
    policy: TurnPolicy


class LiveCall(StreamedCall):
    """Conducts one stream of audio."""

    def __init__(
        self,
        stream: StreamId,
        stream_id: str,
        call: Call,
        line: Line,
        record: CallRecord,
        speech: LiveSpeech,
        activity: VoiceActivity,
        resources: Resources,
    ) -> None:
        def build_speaker(listener: Listener) -> Speaking:
            self._speaking = Speaking(line, speech, listener)
            return self._speaking

        super().__init__(stream, stream_id, call, record, build_speaker, speech, resources.events, resources.policy)
        self._run_speech = speech.run
        self._timer: asyncio.TimerHandle | None = None
        self._listening = Listening(
            resources.transcriber, activity, self, self._turns.playing, language=call.language, policy=self._policy
        )

    def receive_audio(self, payload: bytes) -> None:
        """Takes audio of the callee: mu-law at 8 kHz, of any length."""
        self._listening.receive(payload)
        if self._listening.endpointing.has_spoken:  # otherwise the next tick is early enough
            self._decide()

    def receive_mark(self, name: str) -> None:
        """Takes a mark that came back."""
        self._speaking.mark_returned(name)

    def on_barge_in(self, decision: barge_in.Pause | barge_in.Interrupt | barge_in.Resume) -> None:
        """See `listening.Listener`."""
        self._turns.barge_in(decision)

    def on_transcript(self) -> None:
        """See `listening.Listener`."""
        self._decide()

    def on_turn_over(self, turn: TurnOver) -> None:
        """See `listening.Listener`."""
        self._turns.claim(turn.text, turn)

    def on_transcriber_lost(self) -> None:
        """See `listening.Listener`."""
        self.finish(MediaClosedReason.TRANSCRIPTION)

    def _works(self, heard_text: str) -> Sequence[Work]:
        return partial(self._listening.run, heard_text), self._run_speech

    def _resume(self, text: str) -> None:
        self._listening.endpointing.resume(text, self._clock())

    def _decide(self) -> None:
        """Decides now, and again at an instant before the next frame, if a decision is due then."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._listening.decide(may_end=self._turns.may_claim())
        endpointing, now = self._listening.endpointing, self._clock()
        if endpointing.has_spoken and now < (due_at := endpointing.decides_at) <= now + _MAX_TIMER_SECONDS:
            self._timer = asyncio.get_running_loop().call_at(due_at, self._decide)

    def _on_said(self, text: str) -> None:
        self._listening.endpointing.said(text)

    def _on_interrupted(self) -> None:
        self._listening.barge_in.reset()

    def _on_key(self) -> None:
        self._listening.press_key()

    def _on_standstill(self, seconds: float) -> None:
        self._speaking.stood_still(seconds)

    @property
    def _has_spoken(self) -> bool:
        return self._listening.endpointing.has_spoken

    @property
    def _is_pausing(self) -> bool:
        return self._listening.endpointing.is_pausing

    @property
    def _unclaimed_text(self) -> str:
        return self._listening.endpointing.unclaimed_text

    @property
    def _frames(self) -> int:
        return self._listening.frames
