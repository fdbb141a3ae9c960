"""One call over a media stream, from the beginning to the end of the stream: what streams of audio and of text share.

What a turn decides is in the log; audio, partial transcripts and positions of playback stay here (docs/live.md). So any
process can continue the call on another stream: it reads what is owed, and plays that.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from dataclasses import replace

import structlog

from chassis.background import cancel_all
from contracts import ConversationMode, InterruptionReason, MediaClosedReason, MediaKind
from contracts.call import Call
from voice.application.live import stream_events
from voice.application.live.call_record import CallRecord
from voice.application.live.ending import Ending, Unclaimed
from voice.application.live.live_calls import StreamId
from voice.application.live.pressed_keys import PressedKeys
from voice.application.live.speaker import PUMP_SECONDS, BuildSpeaker
from voice.application.live.speech_record import SpeechRecord
from voice.application.live.turn_taking import TurnTaking
from voice.domain.continuation import continuation_of
from voice.domain.live.turn_policy import TurnPolicy, words_of
from voice.metrics import LIVE_CLOSED, LIVE_UNDERRUNS
from voice.ports import CallEvents

_SECONDS = {"turn_over_after_seconds", "silence_seconds", "filler_seconds"}
"""The durations that have the same name in the terms of a campaign and in `TurnPolicy`."""
_DETAILS_SILENCE_SECONDS = 2.0
"""A silence may last so much longer after a question for a number, an address or a date."""

logger = structlog.get_logger()

Work = Callable[[], Coroutine[None, None, None]]


class StreamedCall(ABC):
    """Conducts one stream of one call. `run` ends with the stream; the other methods return at once.

    `tick` must be called every `PUMP_SECONDS` (`live_calls`).
    """

    def __init__(
        self,
        stream: StreamId,
        stream_id: str,
        call: Call,
        record: CallRecord,
        build_speaker: BuildSpeaker,
        speech: SpeechRecord,
        events: CallEvents,
        policy: TurnPolicy,
    ) -> None:
        self._stream = stream
        self._stream_id = stream_id
        self._call = call
        self._record = record
        self._speech = speech
        self._events = events
        self._ending = Ending(self._unclaimed)
        self._keys = PressedKeys()
        self._policy = _policy_of(call, policy)
        self._turns = TurnTaking(
            stream,
            call,
            build_speaker,
            record,
            speech,
            self._ending,
            self._policy,
            self._on_said,
            self._on_interrupted,
        )
        self._clock = asyncio.get_running_loop().time
        self._opened_at = self._clock()
        self._context: Context | None = None
        """That of `run`, whose logs name the call, from the beginning of the conversation to its end."""

    async def run(self) -> MediaClosedReason:
        """Conducts the conversation, and returns why its stream ended. Raises StreamRefused if it must not begin."""
        kind = MediaKind.RELAY if self._call.mode is ConversationMode.RELAY else MediaKind.STREAM
        past = await self._record.open(self._stream_id, kind)
        events = [stored.event for stored in past]
        continuation = continuation_of(events, self._stream.attempt, self._stream.generation)
        words = continuation.unclaimed_text
        works = (self._follow, *self._works(words or continuation.heard_text))
        recording = asyncio.create_task(self._record.run())
        tasks = [asyncio.create_task(self._supervise(work)) for work in works]
        try:
            self._turns.begin(past, continuation)
            if words:
                self._resume(words)
            self._context = copy_context()
            reason = await self._ending.wait()
            self._context = None
            await cancel_all(tasks)  # together: the sockets of the vendors may take a second to close
            await self._conclude(reason)
        finally:
            self._context = None
            await cancel_all([*tasks, recording])
            await self._turns.speaker.aclose()
        return reason

    def receive_key(self, key: str) -> None:
        """Takes a key that the callee pressed."""
        if key == self._call.opt_out_key:
            self.end(MediaClosedReason.OPTED_OUT)
            return
        self._on_key()
        self._keys.add(key, self._clock())
        self._report_keys()

    def tick(self, late_seconds: float) -> None:
        """See `live_calls.Conversation`. A failure ends the stream, as one of the other parts does."""
        if self._context is not None:
            try:
                self._context.run(self._do_what_is_due, late_seconds)
            except Exception as error:
                logger.error("live_call_failed", error=type(error).__name__, exc_info=error)
                self.end(MediaClosedReason.DROPPED)

    def finish(self, reason: MediaClosedReason) -> None:
        """Ends the stream after the sentence that is being played, or at once if the line is silent.

        A stream that is `DRAINED` ends after the callee's turn, too (`ending`).
        """
        self._ending.finish(reason, self._clock())
        self._check_end()

    def end(self, reason: MediaClosedReason) -> None:
        """Ends the stream now. The first reason counts."""
        self._ending.end(reason)

    @abstractmethod
    def _works(self, heard_text: str) -> Sequence[Work]:
        """Returns what runs until the end of the stream. `heard_text`: the callee's words on an earlier stream."""

    @abstractmethod
    def _resume(self, text: str) -> None:
        """Continues with what the callee said on the stream before, and no turn has claimed."""

    @abstractmethod
    def _decide(self) -> None:
        """Does what is due about the callee's words."""

    @abstractmethod
    def _on_said(self, text: str) -> None:
        """The last sentence of a reply was heard."""

    def _on_interrupted(self) -> None:  # noqa: B027  text has no pauses
        """What was audible, or paused, has ended."""

    @abstractmethod
    def _on_key(self) -> None:
        """The callee pressed a key."""

    def _on_standstill(self, seconds: float) -> None:  # noqa: B027  text has no marks
        """This process stood still: what arrived meanwhile is not read yet."""

    @property
    @abstractmethod
    def _has_spoken(self) -> bool:
        """Whether the callee has begun to say something."""

    @property
    @abstractmethod
    def _is_pausing(self) -> bool:
        """Whether the callee is silent after something that it has said, and the words of that are known."""

    @property
    @abstractmethod
    def _unclaimed_text(self) -> str:
        """What the callee has said and no turn has claimed, as far as it is known."""

    @property
    def _frames(self) -> int:
        """How many frames of the callee's audio were received."""
        return 0

    async def _follow(self) -> None:
        async with self._events.follow_call(self._stream.call_id, self._record.opened_sequence) as events:
            async for stored in events:
                self._turns.take(stored)

    def _do_what_is_due(self, late_seconds: float) -> None:
        if late_seconds > PUMP_SECONDS:
            self._on_standstill(late_seconds)
            self._ending.stood_still(late_seconds)
            self._turns.wait.stood_still(late_seconds)
        if self._turns.speaker.is_line_stalled():
            logger.warning("stream_stalled")
            self._context = None
            self.end(MediaClosedReason.MALFORMED)
            return
        self._turns.check(has_spoken=self._has_spoken)
        self._decide()
        self._report_keys()
        self._check_end()

    def _unclaimed(self) -> Unclaimed:
        if self._keys.is_waiting:
            return Unclaimed.UNFINISHED
        if not self._has_spoken:
            return Unclaimed.NOTHING
        return Unclaimed.IN_PAUSE if self._is_pausing else Unclaimed.UNFINISHED

    def _check_end(self) -> None:
        self._ending.check(self._clock(), is_audible=self._turns.speaker.is_audible())

    def _report_keys(self) -> None:
        """Appends keys that belong together, and claims a turn with them: the agent answers to them as to words.

        Keys wait for the end of what cannot be interrupted.
        """
        if self._turns.is_uninterruptible():
            return
        if keys := self._keys.take(self._clock()):
            pressed = stream_events.keys_pressed(self._stream, self._record.last_turn, keys)
            self._record.append(pressed, f"keys/{self._keys.count}")
            self._turns.claim(f"[keys: {' '.join(keys)}]", reason=InterruptionReason.KEYS)

    async def _conclude(self, reason: MediaClosedReason) -> None:
        """Appends the last events of the stream."""
        if reason is MediaClosedReason.SYNTHESIS and (failed := self._ending.failed):
            self._record.do_later(lambda: self._speech.record_failure(*failed))
        unclaimed_text = self._text_for_next() if reason is MediaClosedReason.DRAINED else None
        self._turns.hand_over()
        underruns = self._turns.speaker.underruns
        LIVE_CLOSED.labels(reason=reason.value, mode=self._call.mode.value).inc()
        LIVE_UNDERRUNS.inc(underruns)
        seconds = self._clock() - self._opened_at
        frames = self._frames
        closed = stream_events.closed(self._stream, reason, seconds, frames, underruns, unclaimed_text)
        await self._record.close(closed)

    def _text_for_next(self) -> str | None:
        """Returns with which words of the callee the next stream continues; none if it must ask for them.

        Words over our speech are no turn yet: the next stream plays the sentence again.
        """
        if self._turns.repetition.is_owed:
            return None
        return "" if self._turns.speaker.is_audible() and not self._turns.is_uninterruptible() else self._unclaimed_text

    async def _supervise(self, work: Work) -> None:
        """Ends the stream if a part of the conversation fails: another stream begins anew."""
        try:
            await work()
        except Exception as error:
            logger.error("live_call_failed", error=type(error).__name__, exc_info=error)
            self.end(MediaClosedReason.DROPPED)


def _policy_of(call: Call, policy: TurnPolicy) -> TurnPolicy:
    """Returns the turn policy of a call: that of the process, with what its campaign has set."""
    terms = call.turn_taking
    if terms is None:
        return policy
    given = terms.model_dump(include=_SECONDS, exclude_none=True)
    if (silence := terms.silence_seconds) is not None:
        given["details_silence_seconds"] = silence + _DETAILS_SILENCE_SECONDS
    others = frozenset(" ".join(words_of(one)) for one in terms.backchannels)
    is_interruptible = terms.is_greeting_interruptible
    return replace(policy, **given, is_greeting_interruptible=is_interruptible, backchannels=others)
