"""The turns of one live call: what the callee said goes into the log, and what the log requests is said."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from chassis.event_log import StoredEvent
from contracts import (
    AudioRequested,
    ConversationEnded,
    InterruptionReason,
    MediaClosedReason,
    MediaOpened,
    ReplyGenerated,
    SentenceAudio,
    SpeechHeard,
    TransferRequested,
)
from contracts.call import Call
from contracts.opt_out_phrases import is_opt_out
from telephony.instructions import GREETING_TURN
from voice.application.live import stream_events
from voice.application.live.call_record import CallRecord
from voice.application.live.ending import Ending
from voice.application.live.live_calls import StreamId
from voice.application.live.repetition import Repetition
from voice.application.live.reply_wait import ReplyWait
from voice.application.live.requested_keys import RequestedKeys
from voice.application.live.speaker import BuildSpeaker, Reply
from voice.application.live.speech_record import SpeechRecord
from voice.application.live.turn_times import TurnTimes
from voice.application.speech.prepared_clips import greeting_sentence
from voice.application.speech.requested_sentences import sentence_in
from voice.application.speech.synthesis import Sentence
from voice.domain.continuation import Continuation
from voice.domain.live import barge_in
from voice.domain.live.phrases import FILLERS, REPETITIONS, phrase
from voice.domain.live.playout import Heard, Playing
from voice.domain.live.spoken_turn import TurnOver
from voice.domain.live.turn_policy import TurnPolicy, asks_for_details
from voice.metrics import LIVE_INTERRUPTIONS, LIVE_PAUSES, LIVE_RESUMES

MAX_LAST_WORDS_SECONDS = 3.0
"""How long the end of a stream waits, after its last words, for what the callee says: it may be an opt-out."""


class TurnTaking:
    """Takes turns with the callee.

    `on_said` is called with the last sentence of each reply that was heard, and `on_interrupted` when what was audible,
    or paused, has ended.
    """

    def __init__(
        self,
        stream: StreamId,
        call: Call,
        build_speaker: BuildSpeaker,
        record: CallRecord,
        speech: SpeechRecord,
        ending: Ending,
        policy: TurnPolicy,
        on_said: Callable[[str], None],
        on_interrupted: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._call = call
        self._record = record
        self._speech = speech
        self._ending = ending
        self._policy = policy
        self._on_said = on_said
        self._on_interrupted = on_interrupted
        self._times = TurnTimes()
        self.wait = ReplyWait(policy)
        self._keys = RequestedKeys(record)
        self.repetition = Repetition()
        self._clock = asyncio.get_running_loop().time
        self._ended_turn: int | None = None
        """The last turn of the conversation, once it is over."""
        self._transfer_turn: int | None = None  # whose reply announces a transfer, once that was heard
        self._heard_turn: int | None = None
        """The last turn whose reply was heard to its end on this stream."""
        self._silent_since: float | None = None
        """Since when the callee has the word, and says nothing."""
        self._last_words_heard_at: float | None = None
        self.speaker = build_speaker(self)

    def playing(self) -> Playing | None:
        """Returns what the callee hears now; none if the line is silent. A goodbye cannot be interrupted."""
        playing = self.speaker.playing()
        return replace(playing, is_interruptible=False) if playing and self._ended_turn is not None else playing

    def is_uninterruptible(self) -> bool:
        """Returns whether the callee hears, or must hear first, what it cannot interrupt: a disclosure, a goodbye."""
        reply = self.speaker.reply
        is_greeting = reply.turn == GREETING_TURN and not self._is_greeting_interruptible()
        return not reply.is_over and (is_greeting or self._ended_turn is not None)

    def may_claim(self) -> bool:
        """Returns whether the callee's turn may end now: nothing of ours is audible, paused or owed before it."""
        return not self.speaker.is_audible() and not self.is_uninterruptible()

    def begin(self, past: Sequence[StoredEvent], continuation: Continuation) -> None:
        """Begins with what is owed to the callee: `past` are the events of the attempt, folded to `continuation`."""
        turn = continuation.turn
        self._ended_turn = turn if continuation.has_ended else None
        if continuation.first_sentence is not None:
            self._begin(turn, continuation.first_sentence)
            if turn != GREETING_TURN:
                self.wait.begin(self._clock())
            for stored in past:
                self.take(stored)
        elif continuation.has_ended:
            self._ending.end(MediaClosedReason.GOODBYE)
        else:  # the callee has the word
            self.speaker.begin(turn)
            self.speaker.reply.is_over = True
            self._silent_since = self._clock()
            if continuation.unclaimed_text is None:
                self.repetition.owe(self._silent_since)

    def take(self, stored: StoredEvent) -> None:
        """Takes an event of the call; one that comes twice, or late, does no harm."""
        event, attempt = stored.event, self._stream.attempt
        self._record.note(stored)
        if isinstance(event, MediaOpened):
            if (event.attempt, event.generation) > (attempt, self._stream.generation):
                self._ending.end(MediaClosedReason.SUPERSEDED)
        elif isinstance(event, SpeechHeard) and event.attempt == attempt:
            if self._ended_turn is None or event.turn <= self._ended_turn:
                self._begin(event.turn)
        elif isinstance(event, ConversationEnded) and event.attempt == attempt:
            self._ended_turn = event.turn
            self.wait.end()
        elif isinstance(event, TransferRequested) and event.attempt == attempt:
            self._transfer_turn = event.turn
        elif isinstance(event, AudioRequested | ReplyGenerated) and event.attempt == attempt:
            self._begin(event.turn)
            if event.turn == self.speaker.reply.turn and not self.speaker.reply.is_over:
                self._add(stored, event)

    def claim(
        self, text: str, turn: TurnOver | None = None, *, reason: InterruptionReason = InterruptionReason.WORDS
    ) -> None:
        """Appends an utterance of the callee; an empty text is a silence. `turn`: how it was spoken.

        `reason`: by what it interrupts a reply of which nothing was heard yet.

        After the end of the conversation, only the wish for no more calls counts.
        """
        if self._ended_turn is not None and not is_opt_out(text):
            return
        if self._ended_turn is None and not self.speaker.reply.is_over:
            self.interrupt(reason)
        self._silent_since, decided_at = None, self._clock()

        def build(number: int) -> SpeechHeard:
            return stream_events.heard(self._stream, number, text, turn, self._call.language)

        def on_claimed(stored: StoredEvent | None) -> None:
            if stored is None:  # what was said is lost; on another stream, the callee is asked to repeat it
                self._ending.end(MediaClosedReason.DROPPED)
                return
            self.take(stored)
            self._times.claimed(turn, self._clock() - decided_at, self._clock())
            if self._ended_turn is None:
                self.wait.begin(self._clock())

        self._record.claim(build, on_claimed)

    def interrupt(self, reason: InterruptionReason) -> None:
        """Ends the reply, and reports what was heard of it. A phrase that belongs to no reply just ends."""
        if (heard := self._stop()) is not None:
            LIVE_INTERRUPTIONS.labels(reason=reason.value).inc()
            self._record.append(stream_events.interrupted(self._stream, heard, reason), f"interrupted/{heard.turn}")
            self._report_played(heard.turn_seconds, is_complete=False)

    def hand_over(self) -> None:
        """Ends the reply because the stream ends: the next one plays what was not heard, so it is not interrupted."""
        if (heard := self._stop()) is not None and heard.turn_seconds:
            self._report_played(heard.turn_seconds, is_complete=False)

    def barge_in(self, decision: barge_in.Pause | barge_in.Interrupt | barge_in.Resume) -> None:
        """Takes a sound, or words, during our speech."""
        match decision:
            case barge_in.Pause():
                LIVE_PAUSES.inc()
                self._times.pauses += 1
                self.speaker.pause()
            case barge_in.Resume(words=words):
                LIVE_RESUMES.inc()
                self._times.resumes += 1
                self._times.backchannels += bool(words)
                self.speaker.resume()
            case barge_in.Interrupt(reason=reason):
                self.interrupt(reason)
                self._silent_since = self._clock()  # what interrupted may turn out to be a noise

    def check(self, *, has_spoken: bool) -> None:
        """Does what is due, ten times a second. `has_spoken`: the callee has begun to say something."""
        self.speaker.pump()
        self._end_when_over(has_spoken=has_spoken)
        if self.repetition.is_due(self._clock(), is_needed=self.speaker.reply.is_over and not has_spoken):
            self._play_phrase(phrase(REPETITIONS, self._call.language))
        self._wait_for_reply(has_spoken=has_spoken)
        self._claim_silence_if_due(has_spoken=has_spoken)

    def on_sentence_heard(self, reply: Reply, sentence: Sentence, audio: SentenceAudio) -> None:
        """See `speaker.Listener`."""
        self._record.do_later(lambda: self._speech.record(sentence, audio))
        self._ending.sentence_heard(self._clock())

    def on_reply_heard(self, reply: Reply) -> None:
        """See `speaker.Listener`."""
        heard = self.speaker.heard()
        seconds = heard.turn_seconds if heard and heard.turn == reply.turn else 0.0
        self._report_played(seconds, is_complete=True)
        self._on_said(reply.last_text)
        self._silent_since, self._heard_turn = self._clock(), reply.turn
        if reply.turn == self._keys.turn:
            self._keys.press(lambda digits: self._press_keys(reply, digits))

    def on_sentence_failed(self, reply: Reply, sentence: Sentence, reason: str) -> None:
        """See `speaker.Listener`. The sentences before it are still played."""
        if reply is self.speaker.reply and self._ending.failed is None:
            self._ending.failed = sentence, reason

    def _stop(self) -> Heard | None:
        """Ends what is being said, and returns what was heard of the reply; None: it was over already."""
        was_over, heard = self.speaker.reply.is_over, self.speaker.interrupt()
        self._on_interrupted()
        return None if was_over else heard

    def _report_played(self, seconds: float, *, is_complete: bool) -> None:
        played = self._times.played(self._call, self.speaker.reply, seconds, is_complete=is_complete)
        self._record.append(played, f"played/{played.turn}")

    def _begin(self, turn: int, first_sentence: int = 0) -> None:
        """Begins the reply of a turn, unless a newer one has begun."""
        if turn <= self.speaker.reply.turn:
            return
        if not self.speaker.reply.is_over:
            self.interrupt(InterruptionReason.WORDS)
        self._ending.failed = self._silent_since = self._last_words_heard_at = None
        self._times.begin()
        self.speaker.begin(turn, first_sentence)
        if turn == GREETING_TURN:
            greeting = greeting_sentence(self._call, self._stream.attempt, self._record.cause)
            self.speaker.add(greeting, is_interruptible=self._is_greeting_interruptible())
            self.speaker.close(1)

    def _add(self, stored: StoredEvent, event: AudioRequested | ReplyGenerated) -> None:
        self.wait.end()
        if sentence := sentence_in(stored, self._call):
            self.speaker.add(sentence, is_interruptible=self._ended_turn is None)
        if isinstance(event, ReplyGenerated):
            self._keys.request(event.turn, event.digits)
            self.speaker.close(event.sentences)

    def _is_greeting_interruptible(self) -> bool:
        """Whether a greeting may be cut short: not one that says who calls, as the law asks for."""
        return self._policy.is_greeting_interruptible and self._call.company is None

    def _wait_for_reply(self, *, has_spoken: bool) -> None:
        """Plays a filler, or ends the stream, if that is due."""
        if self.wait.is_over(self._clock()) and not has_spoken and not self.speaker.is_audible():
            self._ending.end(MediaClosedReason.UNANSWERED)
        elif not self.speaker.reply.is_over and self.wait.takes_filler(self._clock()):
            self._play_phrase(phrase(FILLERS, self._call.language))

    def _claim_silence_if_due(self, *, has_spoken: bool) -> None:
        if self._silent_since is None or self._ended_turn is not None:
            return
        if has_spoken or self.speaker.is_audible():
            self._silent_since = self._clock()
            return
        is_asked = asks_for_details(self.speaker.reply.last_text, self._call.language)
        seconds = self._policy.details_silence_seconds if is_asked else self._policy.silence_seconds
        if self._clock() - self._silent_since >= seconds:
            self.claim("")

    def _end_when_over(self, *, has_spoken: bool) -> None:
        """Ends the stream once a goodbye, or the words before a transfer, were heard, and the callee was understood."""
        reply, now = self.speaker.reply, self._clock()
        is_goodbye = self._ended_turn is not None and reply.is_over and reply.turn >= self._ended_turn
        is_announced = self._transfer_turn is not None and self._transfer_turn == self._heard_turn == reply.turn
        if not (is_goodbye or is_announced):
            return
        self._last_words_heard_at = self._last_words_heard_at or now
        if not has_spoken or now - self._last_words_heard_at >= MAX_LAST_WORDS_SECONDS:
            self._ending.end(MediaClosedReason.GOODBYE if is_goodbye else MediaClosedReason.TRANSFERRED)

    def _press_keys(self, reply: Reply, digits: str) -> None:
        if reply is self.speaker.reply:
            self.speaker.press_keys(digits)

    def _play_phrase(self, text: str) -> None:
        attempt, turn = self._stream.attempt, self.speaker.reply.turn
        self.speaker.add_filler(stream_events.stock_sentence(self._call, attempt, turn, text, self._record.cause))
