"""What is played to the callee, and what of it was heard.

The sentences of a reply are sent a little ahead of their time (`send_ahead_seconds`), on a clock that does not drift:
a frame is due when the frames before it have been played. The provider plays them in order. When it has played a frame
is estimated from that clock; a mark after each sentence corrects the estimate. A `clear` empties the provider's buffer.
It needs as long to the provider as the audio did, so at the instant of the `clear` the callee's ear is where the clock
is. A mark that is pending at a `clear` returns at once: it proves nothing, and is ignored.
"""

import math
from dataclasses import dataclass

from voice.domain.live.alignments import Alignment
from voice.domain.live.media_stream import FRAME_SECONDS
from voice.domain.live.played_sentences import PlayedSentence
from voice.domain.live.turn_policy import is_question

SEND_AHEAD_SECONDS = 0.3
"""With audio sent every 100 ms, the provider has 200 ms of it at any time: so late may the event loop be."""
FILLER = -1
"""The number of a sentence that does not belong to the reply, such as “one moment”."""
TONES = -2
"""The number of the tones of keys, which follow a reply. Numbers below 0 have no words of the reply."""
JITTER_SECONDS = 0.1
"""A mark that is later than usual by no more than that says nothing about the line."""
MAX_FIRST_ROUND_TRIP_SECONDS = 0.15
"""Of the delay of the first marks, that much is attributed to the way there and back, the rest to the line."""
_FIRST_MARKS = 3
_ANSWERABLE_SECONDS = 0.4
_QUESTION_SECONDS = 1.5
_SILENCE_SECONDS = 0.2
"""A shorter gap does not count as silence between two pieces of our speech."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark to be sent, by its name."""

    name: str


Outgoing = bytes | Mark
"""Audio to be sent (mu-law, 8 kHz, a multiple of 20 ms), or a mark behind it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the callee heard of a turn's reply.

    `text` has all its words that were heard to their end, over all its sentences. `sentence` is the one that was being
    heard, and `sentence_seconds` how much of it; `turn_seconds` is how much of the reply was heard.
    """

    turn: int
    sentence: int
    text: str
    sentence_seconds: float
    turn_seconds: float


@dataclass(frozen=True, slots=True)
class Playing:
    """What the callee hears at an instant, as far as barge-in needs it."""

    seconds: float
    """For how long our speech has been heard without a silence."""
    is_interruptible: bool
    is_answerable: bool
    """Whether a short word now is an answer: a question was just heard, or the reply ends within moments."""


@dataclass(frozen=True, slots=True)
class SentencePlayed:
    """A sentence was heard to its end. `is_last`: with it, the whole reply of the turn."""

    turn: int
    sentence: int
    is_last: bool


class Playout:
    """The speech of one stream. All instants are seconds of one monotonic clock."""

    def __init__(self, *, send_ahead_seconds: float = SEND_AHEAD_SECONDS) -> None:
        self.underruns = 0
        """How often a sentence was interrupted because its next audio was not there."""
        self.is_paused = False
        self._send_ahead_seconds = send_ahead_seconds
        self._sentences: list[PlayedSentence] = []
        self._pending: dict[str, tuple[PlayedSentence, float]] = {}  # marks, and when their sentences end by the clock
        self._sent_until = 0.0  # when everything that was sent has been played, by the clock
        self._speech_began_at = 0.0
        self._line = _Line()
        self._clears = 0
        self._turn: int | None = None
        self._finished_turn = -1
        self._interrupted_turn = -1

    def begin(self, turn: int, sentence: int, text: str, *, is_interruptible: bool = True) -> None:
        """Adds a sentence behind the others; its audio may follow later. Ignored if its turn was interrupted."""
        if sentence == FILLER:
            self._sentences = [one for one in self._sentences if one.number != FILLER or not one.is_heard]
        if turn <= self._interrupted_turn or self._find(turn, sentence):
            return
        if turn != self._turn:
            self._turn = turn
            self._sentences = [played for played in self._sentences if not played.is_heard]
        self._sentences.append(PlayedSentence(turn, sentence, text, is_interruptible))

    def add(self, turn: int, sentence: int, audio: bytes, alignment: Alignment | None = None) -> None:
        """Adds audio of a sentence, of any length, with the alignment relative to `audio`.

        Ignored if the sentence was not begun, is finished, or its turn was interrupted.
        """
        if (found := self._find(turn, sentence)) and not found.is_finished:
            found.add(audio, alignment)

    def finish(self, turn: int, sentence: int) -> None:
        """Ends the audio of a sentence: what is left of a frame is filled with silence, and a mark follows."""
        if (found := self._find(turn, sentence)) and not found.is_finished:
            found.finish()

    def finish_turn(self, turn: int) -> None:
        """Declares that the turn has no more sentences than those that were begun. See `has_unheard` afterwards."""
        self._finished_turn = max(self._finished_turn, turn)

    def due(self, now: float) -> list[Outgoing]:
        """Returns what has to be sent now, in order; empty while paused. The caller sends all of it."""
        outgoing: list[Outgoing] = []
        for sentence in () if self.is_paused else self._sentences:
            if sentence.is_marked:
                continue
            if sentence.sent_frames < sentence.frames and self._sent_until < now + self._send_ahead_seconds:
                outgoing.append(self._send(sentence, now))
            if not sentence.is_finished or sentence.sent_frames < sentence.frames:
                break
            name = f"{sentence.turn}.{sentence.number}.{self._clears}"
            self._pending[name] = (sentence, max(self._sent_until, now))
            sentence.is_marked = True
            outgoing.append(Mark(name))
        return outgoing

    def lead_seconds(self, now: float) -> float:
        """Returns for how long the callee has audio to hear if nothing more is sent."""
        return max(0.0, self._sent_until - now)

    def mark_returned(self, name: str, now: float) -> SentencePlayed | None:
        """Takes a mark that came back; none if it proves nothing: unknown, or pending at a `clear`."""
        sentence, ends_at = self._pending.pop(name, (None, 0.0))
        if sentence is None:
            return None
        self._line.mark_returned(max(0.0, now - ends_at))
        for earlier in self._sentences[: self._sentences.index(sentence) + 1]:
            earlier.confirm()
        is_last = sentence.turn <= self._finished_turn and not self._unheard(sentence.turn)
        return SentencePlayed(sentence.turn, sentence.number, is_last)

    def pause(self, now: float) -> None:
        """Stops. The caller sends a `clear`. Audio may still be added."""
        if not self.is_paused:
            self._stop(now)
            self.is_paused = True

    def resume(self, now: float) -> None:
        """Continues at the last heard frame, or up to 200 ms before it at the beginning of a word."""
        if not self.is_paused:
            return
        self.is_paused = False
        self._sent_until = min(self._sent_until, now)
        for sentence in self._sentences:
            if not sentence.is_heard:
                sentence.rewind()

    def interrupt(self, now: float) -> Heard | None:
        """Ends the reply, and returns what was heard of it; none if no reply was begun.

        The caller sends a `clear`, unless it did so for a pause. Later audio of the turn is ignored.
        """
        self.pause(now)
        heard = self.heard(now)
        self.is_paused = False
        self._sentences = []
        if self._turn is not None:
            self._interrupted_turn = self._turn
        return heard

    def heard(self, now: float) -> Heard | None:
        """Returns what was heard until now of the newest reply; none if no reply was begun."""
        instant = now - self._line.lateness
        sentences = [found for found in self._sentences if found.turn == self._turn and found.number >= 0]
        if self._turn is None or self._turn == self._interrupted_turn:
            return None
        frames = [sentence.heard_frames(instant) for sentence in sentences]
        index = max((index for index, count in enumerate(frames) if count), default=0)
        texts = [sentence.heard_text(count) for sentence, count in zip(sentences, frames, strict=True)]
        return Heard(
            self._turn,
            sentences[index].number if sentences else 0,
            " ".join(text for text in texts if text),
            frames[index] * FRAME_SECONDS if frames else 0.0,
            sum(frames) * FRAME_SECONDS,
        )

    def playing(self, now: float) -> Playing | None:
        """Returns what the callee hears now; none if the line is silent."""
        instant = now - self._line.lateness
        if self.is_paused or instant >= self._sent_until:
            return None
        position = [(sentence, sentence.heard_frames(instant)) for sentence in self._sentences]
        left = [sentence.frames - heard for sentence, heard in position]
        index = next((index for index, count in enumerate(left) if count), None)
        if index is None:
            return None
        is_answerable = self._is_answerable([sentence for sentence, _ in position], left, index)
        return Playing(now - self._speech_began_at, position[index][0].is_interruptible, is_answerable)

    def is_audible(self, now: float) -> bool:
        """Returns whether the callee hears our speech now: whether `playing` returns something."""
        instant = now - self._line.lateness
        if self.is_paused or instant >= self._sent_until:
            return False
        return any(sentence.heard_frames(instant) < sentence.frames for sentence in reversed(self._sentences))

    @property
    def has_unheard(self) -> bool:
        """Whether a reply is not heard to its end: a mark is missing, or its turn is not finished."""
        if self._turn is None or self._turn == self._interrupted_turn:
            return False
        return self._turn > self._finished_turn or self._unheard(self._turn)

    def _find(self, turn: int, number: int) -> PlayedSentence | None:
        for sentence in self._sentences:
            if sentence.turn == turn and sentence.number == number:
                return sentence
        return None

    def _unheard(self, turn: int) -> bool:
        return any(sentence.turn == turn and not sentence.is_heard for sentence in self._sentences)

    def _send(self, sentence: PlayedSentence, now: float) -> bytes:
        if self._sent_until < now:  # the line is silent
            gap = now - self._sent_until
            is_end = sentence.is_finished and sentence.frames - sentence.sent_frames == 1  # filled up with silence
            if sentence.sent_frames > sentence.heard_before and not is_end:
                self.underruns += 1
            if gap > _SILENCE_SECONDS:
                self._speech_began_at = now
            self._line.silent(gap)
            self._sent_until = now
        ahead = math.ceil((now + self._send_ahead_seconds - self._sent_until) / FRAME_SECONDS - 1e-6)
        count = min(sentence.frames - sentence.sent_frames, ahead)
        audio = sentence.send(count, self._sent_until)
        self._sent_until += count * FRAME_SECONDS
        return audio

    def _stop(self, now: float) -> None:
        """Takes that the provider's buffer is emptied."""
        instant = now - self._line.lateness
        for sentence in self._sentences:
            if not sentence.is_heard:
                sentence.stop(instant)
        self._sent_until = min(self._sent_until, now)
        self._line.lateness = 0.0
        self._pending.clear()
        self._clears += 1

    def _is_answerable(self, sentences: list[PlayedSentence], left: list[int], index: int) -> bool:
        current, answerable = sentences[index], _ANSWERABLE_SECONDS / FRAME_SECONDS
        if current.is_finished and left[index] <= answerable and is_question(current.text):
            return True
        heard_seconds = (current.frames - left[index]) * FRAME_SECONDS
        if index and heard_seconds <= _QUESTION_SECONDS and is_question(sentences[index - 1].text):
            return True
        is_complete = current.turn <= self._finished_turn and all(found.is_finished for found in sentences)
        return is_complete and sum(left) <= answerable


class _Line:
    """How late the line plays, from the delays of marks: those that are usual are the way there and back."""

    def __init__(self) -> None:
        self.lateness = 0.0
        """By how many seconds the line is behind the clock of the playout."""
        self._round_trip = math.inf
        self._marks = 0

    def mark_returned(self, delay: float) -> None:
        """Takes a mark that returned `delay` seconds after the end of its sentence by the clock."""
        self._marks += 1
        self._round_trip = min(self._round_trip, delay)
        if self._marks < _FIRST_MARKS:
            self._round_trip = min(self._round_trip, MAX_FIRST_ROUND_TRIP_SECONDS)
        late = delay - self._round_trip
        self.lateness = late if late > JITTER_SECONDS else 0.0

    def silent(self, seconds: float) -> None:
        """Takes that nothing was sent for a while: the line catches up."""
        self.lateness = max(0.0, self.lateness - seconds)
