"""One live call, from the beginning to the end of its stream.

What a turn decides is in the log; audio, partial transcripts and positions of playback stay here (docs/live.md). So any
process can continue the call on another stream: it reads what is owed, and plays that.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial

import structlog

from chassis.background import cancel_until_done
from contracts import MediaClosedReason
from contracts.call import Call
from voice.application.live import stream_events
from voice.application.live.call_record import CallRecord
from voice.application.live.ending import Ending
from voice.application.live.listening import Listening
from voice.application.live.live_calls import StreamId
from voice.application.live.live_speech import LiveSpeech
from voice.application.live.pressed_keys import PressedKeys
from voice.application.live.speaking import PUMP_SECONDS
from voice.application.live.turn_taking import TurnTaking
from voice.domain.continuation import continuation_of
from voice.domain.live import barge_in
from voice.domain.live.endpointing import TurnOver
from voice.domain.live.turn_policy import TurnPolicy, words_of
from voice.domain.live.voicing import VoiceActivity
from voice.metrics import LIVE_CLOSED, LIVE_UNDERRUNS
from voice.ports import CallEvents, Line, Transcriber

_SECONDS = {"turn_over_after_seconds", "silence_seconds", "filler_seconds"}
"""The durations that have the same name in the terms of a campaign and in `TurnPolicy`."""
_DETAILS_SILENCE_SECONDS = 2.0
"""A silence may last so much longer after a question for a number, an address or a date."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Resources:
    """What the live calls of one process have in common."""

    events: CallEvents
    transcriber: Transcriber
    policy: TurnPolicy

    def policy_of(self, call: Call) -> TurnPolicy:
        """Returns the turn policy of a call: that of the process, with what its campaign has set."""
        terms = call.turn_taking
        if terms is None:
            return self.policy
        given = terms.model_dump(include=_SECONDS, exclude_none=True)
        if (silence := terms.silence_seconds) is not None:
            given["details_silence_seconds"] = silence + _DETAILS_SILENCE_SECONDS
        others = frozenset(" ".join(words_of(one)) for one in terms.backchannels)
        is_interruptible = terms.is_greeting_interruptible
        return replace(self.policy, **given, is_greeting_interruptible=is_interruptible, backchannels=others)


class LiveCall:
    """Conducts one stream of one call. `run` ends with the stream; the other methods return at once."""

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
        self._stream = stream
        self._stream_id = stream_id
        self._call = call
        self._record = record
        self._speech = speech
        self._events = resources.events
        self._ending = Ending()
        self._keys = PressedKeys()
        policy = resources.policy_of(call)
        self._turns = TurnTaking(
            stream, call, line, record, speech, self._ending, policy, lambda text: self._on_said(text)
        )
        self._speaking = self._turns.speaking
        self._listening = Listening(
            resources.transcriber, activity, self, self._turns.playing, language=call.language, policy=policy
        )
        self._clock = asyncio.get_running_loop().time
        self._opened_at = self._clock()

    async def run(self) -> MediaClosedReason:
        """Conducts the conversation, and returns why its stream ended. Raises StreamRefused if it must not begin."""
        past = await self._record.open(self._stream_id)
        continuation = continuation_of([stored.event for stored in past], self._stream.attempt)
        listening = partial(self._listening.run, continuation.heard_text)
        works = (self._follow, listening, self._speech.run, self._tick)
        recording = asyncio.create_task(self._record.run())
        tasks = [asyncio.create_task(self._supervise(work)) for work in works]
        try:
            self._turns.begin(past, continuation)
            reason = await self._ending.wait()
            for task in tasks:
                await cancel_until_done(task)
            await self._conclude(reason)
        finally:
            for task in (*tasks, recording):
                await cancel_until_done(task)
            await self._speaking.aclose()
        return reason

    def receive_audio(self, payload: bytes) -> None:
        """Takes audio of the callee: mu-law at 8 kHz, of any length."""
        self._listening.receive(payload)
        self._decide()

    def receive_mark(self, name: str) -> None:
        """Takes a mark that came back."""
        self._speaking.mark_returned(name)

    def receive_key(self, key: str) -> None:
        """Takes a key that the callee pressed."""
        if key == self._call.opt_out_key:
            self.end(MediaClosedReason.OPTED_OUT)
            return
        self._listening.press_key()
        self._keys.add(key, self._clock())
        self._report_keys()

    def finish(self, reason: MediaClosedReason) -> None:
        """Ends the stream after the sentence that is being played, or at once if the line is silent."""
        self._ending.finish(reason, self._clock())
        self._check_end()

    def end(self, reason: MediaClosedReason) -> None:
        """Ends the stream now. The first reason counts."""
        self._ending.end(reason)

    def on_barge_in(self, decision: barge_in.Pause | barge_in.Interrupt | barge_in.Resume) -> None:
        """See `listening.Listener`."""
        self._turns.barge_in(decision)

    def on_turn_over(self, turn: TurnOver) -> None:
        """See `listening.Listener`."""
        self._turns.claim(turn.text, turn)

    def on_transcriber_lost(self) -> None:
        """See `listening.Listener`."""
        self.finish(MediaClosedReason.TRANSCRIPTION)

    def _on_said(self, text: str) -> None:
        self._listening.endpointing.said(text)

    async def _follow(self) -> None:
        async with self._events.follow_call(self._stream.call_id, self._record.opened_sequence) as events:
            async for stored in events:
                self._turns.take(stored)

    async def _tick(self) -> None:
        """Does what is due, ten times a second, on a clock that does not drift."""
        next_at = self._clock()
        while True:
            next_at = max(next_at + PUMP_SECONDS, self._clock())
            await asyncio.sleep(next_at - self._clock())
            self._turns.check(has_spoken=self._listening.endpointing.has_spoken)
            self._decide()
            self._report_keys()
            self._check_end()
            if self._speaking.is_line_stalled():
                logger.warning("stream_stalled")
                self.end(MediaClosedReason.MALFORMED)

    def _decide(self) -> None:
        self._listening.decide(may_end=not self._speaking.is_audible())

    def _check_end(self) -> None:
        self._ending.check(self._clock(), is_audible=self._speaking.is_audible())

    def _report_keys(self) -> None:
        """Appends keys that belong together, and claims a turn with them: the agent answers to them as to words."""
        if keys := self._keys.take(self._clock()):
            pressed = stream_events.keys_pressed(self._stream, self._record.last_turn, keys)
            self._record.append(pressed, f"keys/{self._keys.count}")
            self._turns.claim(f"[keys: {' '.join(keys)}]")

    async def _conclude(self, reason: MediaClosedReason) -> None:
        """Appends the last events of the stream."""
        if reason is MediaClosedReason.SYNTHESIS and (failed := self._ending.failed):
            self._record.do_later(lambda: self._speech.record_failure(*failed))
        self._turns.hand_over()
        LIVE_CLOSED.labels(reason=reason.value).inc()
        LIVE_UNDERRUNS.inc(self._speaking.underruns)
        seconds, frames = self._clock() - self._opened_at, self._listening.frames
        await self._record.close(stream_events.closed(self._stream, reason, seconds, frames, self._speaking.underruns))

    async def _supervise(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Ends the stream if a part of the conversation fails: another stream begins anew."""
        try:
            await work()
        except Exception as error:
            logger.error("live_call_failed", error=type(error).__name__, exc_info=error)
            self.end(MediaClosedReason.DROPPED)
