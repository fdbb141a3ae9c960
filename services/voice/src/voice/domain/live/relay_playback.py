"""What the provider speaks of our texts, and what of it was heard (ConversationRelay).

The audio never comes here. There are three sources, from the best to the worst:

- The words that were played (`TextPlayed`), and those until an interruption (`Interrupted`). They are found in our
  texts by their letters, because spaces and capitals may differ.
- Who speaks (`AgentSpeaking`): at the end of our speech, the texts before it were heard.
- A clock, with an average rate of speech. It decides alone only if the provider reports nothing.

Instants are arguments, in seconds.
"""

from dataclasses import dataclass

from voice.domain.live.played_sentences import whole_words
from voice.domain.live.playout import FILLER, Heard, Playing

SECONDS_PER_CHARACTER = 1 / 14
_FIRST_SOUND_SECONDS = 0.3
"""From a text to its first sound, as the clock assumes it."""
_UNREPORTED_SECONDS = 0.5
"""How long after its time a text counts as heard, if the provider reports nothing at all."""
_LATE_SECONDS = 4.0
"""The same if the provider reports what it speaks: the clock is only a guess then."""
_STUCK_SECONDS = 15.0
"""The same while it reports that it speaks: the end of a speech may be lost."""
_LAST_SOUND_SECONDS = 1.0
"""How long the end of the sound may follow the last words."""
_HEARD_PART = 0.3
"""Of a text whose sound has ended: more of it must have been due, or it is the one before that has ended."""
_MAX_UNREPORTED_CHARACTERS = 3
_TAIL_CHARACTERS = (60, 30, 15, 8)


@dataclass(slots=True)
class _Text:
    """One text that was sent; its letters are those without spaces, in one case."""

    turn: int
    number: int
    text: str
    is_interruptible: bool
    starts_at: float
    ends_at: float
    letters: str
    played: int = 0
    """How many of its letters were reported as played."""
    is_heard: bool = False
    is_abandoned: bool = False
    """Whether a newer text replaces what is left of it."""

    @property
    def seconds(self) -> float:
        return self.ends_at - self.starts_at


class RelayPlayback:
    """The texts that were sent on one stream, in their order."""

    def __init__(self) -> None:
        self._texts: list[_Text] = []
        self._heard: list[tuple[int, int]] = []
        self._ends_at = 0.0
        self._is_speaking = False
        self._has_reports = False
        self._has_words = False
        self._silent_by = 0.0

    def add(self, turn: int, number: int, text: str, now: float, *, is_interruptible: bool = True) -> None:
        """Takes a text that was sent."""
        if not self.is_audible(now):
            self._texts = [one for one in self._texts if one.turn == turn]
        starts_at = max(self._ends_at, now + _FIRST_SOUND_SECONDS)
        self._ends_at = starts_at + (len(text) + 1) * SECONDS_PER_CHARACTER
        one = _Text(turn, number, text, is_interruptible, starts_at, self._ends_at, _letters(text))
        one.is_heard = not one.letters
        self._texts.append(one)

    def speaking(self, is_speaking: bool, now: float) -> None:
        """Takes that our speech begins to be heard, or ends."""
        self._has_reports, self._is_speaking = True, is_speaking
        waiting = self._waiting()
        if is_speaking:
            shift = now - waiting[0].starts_at if waiting and not waiting[0].played else 0.0
            for one in waiting:
                one.starts_at, one.ends_at = one.starts_at + shift, one.ends_at + shift
            self._ends_at += shift
            return
        for one in waiting:
            if self._has_words:
                has_ended = len(one.letters) - one.played <= _MAX_UNREPORTED_CHARACTERS or now >= one.ends_at
            else:
                has_ended = now >= one.starts_at + _HEARD_PART * one.seconds
            if not has_ended:
                break
            self._confirm(one, now)
        if not self._waiting():
            self._ends_at = min(self._ends_at, now)

    def words_played(self, text: str) -> None:
        """Takes the words of our texts that were played: the next ones, or all of a text or reply so far.

        Words that are not in the texts are ignored.
        """
        letters = _letters(text)
        waiting = self._waiting()
        first = next((index for index, one in enumerate(waiting) if _continues(one, letters)), None)
        if first is None and waiting and letters:
            letters, first = self._without_known(waiting[0], letters), 0
        if not letters or first is None or not _continues(waiting[first], letters):
            return
        self._has_words = self._has_reports = True
        for one in waiting[:first]:
            self._confirm(one, one.ends_at)
        for one in waiting[first:]:
            left = one.letters[one.played :]
            count = min(len(left), len(letters))
            if left[:count] != letters[:count]:
                break
            one.played, letters = one.played + count, letters[count:]
            if one.played == len(one.letters):
                self._confirm(one, one.ends_at)
            if not letters:
                break

    def check(self, now: float) -> None:
        """Takes the time: texts that are long overdue count as heard."""
        grace = _LATE_SECONDS if self._has_reports else _UNREPORTED_SECONDS
        if self._is_speaking:
            grace = _STUCK_SECONDS
        for one in self._waiting():
            if now < one.ends_at + grace:
                break
            self._confirm(one, now)
            self._is_speaking = False

    def take_heard(self) -> list[tuple[int, int]]:
        """Returns turn and number of the texts that were heard to their end since the last time."""
        heard, self._heard = self._heard, []
        return heard

    def is_audible(self, now: float) -> bool:
        """Returns whether the callee hears our speech now, or will."""
        return bool(self._waiting()) or (self._is_speaking and now < self._silent_by)

    def playing(self, now: float) -> Playing | None:
        """Returns what the callee hears now, or hears next; none if the line is silent."""
        if not self.is_audible(now):
            return None
        waiting = self._waiting()
        is_interruptible = not waiting or waiting[0].is_interruptible
        return Playing(now - waiting[0].starts_at if waiting else 0.0, is_interruptible, is_answerable=True)

    def heard(self, turn: int, now: float) -> Heard:
        """Returns what was heard until now of the reply of a turn."""
        count = 0
        for one in self._of(turn):
            played = len(one.letters) if one.is_heard else self._played(one, now)
            count += played
            if played < len(one.letters):
                break
        return self._located(turn, count, None)

    def heard_until(self, turn: int, utterance: str, seconds: float | None, now: float) -> Heard:
        """Returns what was heard of the reply of a turn, whose last words are those of `utterance`.

        `seconds`: for how long it was heard, if that is known.
        """
        letters = "".join(one.letters for one in self._of(turn))
        reported = sum(len(one.letters) if one.is_heard else one.played for one in self._of(turn))
        spoken = _letters(utterance)
        for size in (len(spoken), *_TAIL_CHARACTERS):
            tail = spoken[-size:] if size else ""
            if tail and size <= len(spoken):
                place = letters.find(tail, max(0, reported - len(tail)))
                place = letters.find(tail) if place < 0 else place
                if place >= 0:
                    return self._located(turn, place + len(tail), seconds)
        return self._located(turn, reported, seconds) if not spoken else self.heard(turn, now)

    def clear(self, *, is_by_provider: bool) -> None:
        """Takes that a reply is over. The provider has discarded it, or replaces it by the next one."""
        self._ends_at = 0.0
        if is_by_provider:
            self._texts.clear()
            self._is_speaking = False
            return
        for one in self._texts:
            one.is_abandoned = True

    def _waiting(self) -> list[_Text]:
        return [one for one in self._texts if not one.is_heard and not one.is_abandoned]

    def _without_known(self, one: _Text, letters: str) -> str:
        """Returns the letters without those that were reported before: of this text, or of its reply until it."""
        before = "".join(other.letters for other in self._of(one.turn) if other.number < one.number and other.is_heard)
        played = one.letters[: one.played]
        known = next((known for known in (before + played, played) if known and letters.startswith(known)), "")
        return letters[len(known) :] if known else ""

    def _of(self, turn: int) -> list[_Text]:
        return [one for one in self._texts if one.turn == turn and one.number != FILLER]

    def _confirm(self, one: _Text, now: float) -> None:
        one.is_heard = True
        self._heard.append((one.turn, one.number))
        self._silent_by = max(self._silent_by, now + _LAST_SOUND_SECONDS)

    def _played(self, one: _Text, now: float) -> int:
        """Returns how many letters of a text were heard: as reported, or else by the clock."""
        if self._has_words or now <= one.starts_at or not one.seconds:
            return one.played
        return min(len(one.letters), int(len(one.letters) * (now - one.starts_at) / one.seconds))

    def _located(self, turn: int, count: int, seconds: float | None) -> Heard:
        """Returns the place behind the first `count` letters of a reply. Without `seconds`, by the rate of speech."""
        texts, sentence, in_sentence, left = list[str](), None, 0, count
        for one in self._of(turn):
            if sentence is None:
                sentence = one.number
            if left <= 0:
                break
            in_sentence = min(left, len(one.letters))
            sentence, left = one.number, left - in_sentence
            if words := one.text.strip() if in_sentence == len(one.letters) else whole_words(one.text, in_sentence):
                texts.append(words)
        total = count * SECONDS_PER_CHARACTER if seconds is None else seconds
        part = in_sentence / count if count else 0.0
        return Heard(turn, sentence or 0, " ".join(texts), total * part, total)


def _letters(text: str) -> str:
    """Returns a text without spaces and in small letters, one for each of its own."""
    return "".join(small if len(small := character.lower()) == 1 else character for character in "".join(text.split()))


def _continues(one: _Text, letters: str) -> bool:
    left = one.letters[one.played :]
    size = min(len(left), len(letters))
    return size > 0 and left[:size] == letters[:size]
