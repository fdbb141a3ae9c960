"""The callees: which number answers, how, and what the callee says. Everything is a function of the seed."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from simulators.twilio.callee_phrases import (
    ANSWERS,
    BACKCHANNELS,
    GOODBYES,
    LONG_ANSWERS,
    MACHINE_GREETING,
    NUMBERS,
    OPENINGS,
    OPT_OUTS,
    SCREENING_PROMPT,
    Language,
)
from simulators.twilio.callee_sounds import CalleeSettings, Interjection, Pause, read_pauses
from simulators.twilio.switchboard import MENU_SECONDS, Switchboard


class Behaviour(StrEnum):
    """What a callee does in one call. `refused` fails the create request; `invalid` fails the accepted call.

    `mistaken_human` is a person whom detection takes for a machine; it interrupts what is played. `screened` is one
    whose call-screening assistant asks first who calls. `presses_key` interrupts the first prompt by `OPT_OUT_KEY`.
    `interrupts` interrupts each reply. `backchannels` says "mm-hm" during each reply and `coughs` makes a noise: both
    are heard on a media stream only. `dictates` makes a pause inside a number. `hangs_up_speaking` hangs up in the
    middle of its second utterance. `switchboard` reads a menu until one of its keys is pressed, then a person answers.
    `declines` is a person who does not accept a call that is transferred to it.
    """

    HUMAN = "human"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    INVALID = "invalid"
    REFUSED = "refused"
    HANGS_UP = "hangs_up"
    SILENT = "silent"
    VOICEMAIL = "voicemail"
    LONG_TALKER = "long_talker"
    MISTAKEN_HUMAN = "mistaken_human"
    SCREENED = "screened"
    FAX = "fax"
    OPTS_OUT = "opts_out"
    PRESSES_KEY = "presses_key"
    INTERRUPTS = "interrupts"
    BACKCHANNELS = "backchannels"
    COUGHS = "coughs"
    DICTATES = "dictates"
    HANGS_UP_SPEAKING = "hangs_up_speaking"
    SWITCHBOARD = "switchboard"
    DECLINES = "declines"


DEFAULT_WEIGHTS: Mapping[Behaviour, float] = {
    Behaviour.HUMAN: 0.46,
    Behaviour.BUSY: 0.1,
    Behaviour.NO_ANSWER: 0.1,
    Behaviour.INVALID: 0.04,
    Behaviour.REFUSED: 0.03,
    Behaviour.HANGS_UP: 0.07,
    Behaviour.SILENT: 0.05,
    Behaviour.VOICEMAIL: 0.1,
    Behaviour.LONG_TALKER: 0.05,
}
_NOT_REACHED = (Behaviour.BUSY, Behaviour.NO_ANSWER, Behaviour.VOICEMAIL)
_HUMAN_ON_REDIAL_PROBABILITY = 0.6
_BARGE_IN_PROBABILITY = 0.2
_MAX_SILENT_TURNS = 4
OPT_OUT_KEY = "9"
"""The key that `presses_key` presses."""


@dataclass(frozen=True)
class Utterance:
    """What a callee says in one turn. All times are simulated seconds.

    `delay` passes between the end of the prompt and the utterance. `barge_in_seconds` is how much of the prompt the
    callee hears before it interrupts; infinite if it does not. `pauses` are the silences inside the text. With
    `is_cut_off` the callee hangs up in the middle of it.
    """

    text: str
    confidence: float
    delay: float
    barge_in_seconds: float = math.inf
    pauses: tuple[Pause, ...] = ()
    is_cut_off: bool = False


@dataclass(frozen=True)
class KeyPress:
    """A key, and how many simulated seconds of the prompt the callee hears before it presses it."""

    key: str
    barge_in_seconds: float


@dataclass
class Callee:
    """One person or machine in one call. All times are simulated seconds.

    `listening_seconds` is the sound that remains until the callee hangs up; `max_call_seconds` limits the call.
    """

    behaviour: Behaviour
    draw: random.Random
    ring_seconds: float = 0.0
    listening_seconds: float = math.inf
    max_call_seconds: float = math.inf
    settings: CalleeSettings = field(default_factory=CalleeSettings)
    _turn: int = 0
    _last_turn: int = 0
    _first_phrase: int = 0
    _silent_turns: int = 0
    _unspoken: Utterance | None = None
    _switchboard: Switchboard = field(default_factory=Switchboard)

    def __post_init__(self) -> None:
        self.ring_seconds = self.draw.uniform(4.0, 8.0)
        self._last_turn = self.draw.randint(2, 4)
        self._first_phrase = self.draw.randrange(12)
        self.max_call_seconds = self.draw.uniform(240.0, 300.0)
        if self.behaviour is Behaviour.LONG_TALKER:
            self._last_turn = self.draw.randint(8, 12)
            self.max_call_seconds = 900.0
        if self.behaviour is Behaviour.MISTAKEN_HUMAN:
            self._last_turn = self.draw.randint(5, 7)
        if self.behaviour is Behaviour.HANGS_UP:
            self.listening_seconds = self.draw.uniform(1.5, 3.0)

    def next_utterance(self, language: Language) -> Utterance | None:
        """Begins the next turn and returns its utterance, or None for silence."""
        if self._unspoken is not None:
            utterance, self._unspoken = self._unspoken, None
            return utterance
        self._turn += 1
        phrase = self._text(language)
        if phrase is None:
            self._silent_turns += 1
            return None
        text, pauses = read_pauses(phrase)
        confidence, delay = round(self.draw.uniform(0.72, 0.98), 2), self.draw.uniform(0.4, 1.2)
        is_cut_off = self.behaviour is Behaviour.HANGS_UP_SPEAKING and self._turn > 1
        seconds, delay = self._barge_in_seconds(), self._delay(delay)
        return Utterance(text, confidence, delay, barge_in_seconds=seconds, pauses=pauses, is_cut_off=is_cut_off)

    def _delay(self, drawn: float) -> float:
        if self.behaviour is Behaviour.SWITCHBOARD and self._turn > 1 and not self._switchboard.is_chosen:
            return MENU_SECONDS
        return drawn if self.settings.delay_seconds is None else self.settings.delay_seconds

    def keep_unspoken(self, utterance: Utterance) -> None:
        """Returns this utterance again as the next one: the media stream ended before the callee said it."""
        self._unspoken = utterance

    def interject(self, language: Language) -> Interjection | None:
        """Returns the sound that the callee makes during the reply of this turn, after `next_utterance`."""
        if self._turn < 2 or self.behaviour not in (Behaviour.BACKCHANNELS, Behaviour.COUGHS):
            return None
        at_seconds = self._seconds_into_reply()
        if self.behaviour is Behaviour.COUGHS:
            return Interjection("noise", "", at_seconds)
        return Interjection("backchannel", self._next_phrase(BACKCHANNELS[language]), at_seconds)

    @property
    def talk_seconds(self) -> float:
        """How long this person talks with a callee who was transferred to it."""
        drawn = self.draw.uniform(20.0, 60.0)
        return drawn if self.settings.talk_seconds is None else self.settings.talk_seconds

    @property
    def has_spoken(self) -> bool:
        """Whether a turn has begun before the current one."""
        return self._turn > 1

    @property
    def speaks_first(self) -> bool:
        """Whether the callee speaks its next utterance without waiting for the agent: a machine's greeting."""
        return self._turn == 1 and self.behaviour in (Behaviour.VOICEMAIL, Behaviour.SCREENED)

    def press_key(self) -> KeyPress | None:
        """Returns the key that the callee presses while a prompt is played, or None."""
        if self.behaviour is not Behaviour.PRESSES_KEY:
            return None
        return KeyPress(OPT_OUT_KEY, barge_in_seconds=self._seconds_into_reply())

    def receive_key(self, key: str) -> bool:
        """Takes a key that the agent presses. Returns whether a switchboard connects a person by it."""
        if self.behaviour is not Behaviour.SWITCHBOARD or not self._switchboard.press(key):
            return False
        self._unspoken = None  # the menu that it was about to read again
        return True

    def hangs_up_in_silence(self) -> bool:
        """Returns whether the callee hangs up now: after its goodbye, or after too many silent turns."""
        if self.behaviour in (Behaviour.SILENT, Behaviour.VOICEMAIL, Behaviour.FAX, Behaviour.PRESSES_KEY):
            return self._silent_turns >= _MAX_SILENT_TURNS
        return self._silent_turns > 0

    def _text(self, language: Language) -> str | None:
        if self.behaviour in (Behaviour.SILENT, Behaviour.FAX, Behaviour.PRESSES_KEY):
            return None
        if self.behaviour is Behaviour.VOICEMAIL:
            return MACHINE_GREETING[language] if self._turn == 1 else None
        if self.behaviour is Behaviour.OPTS_OUT:
            return OPT_OUTS[language] if self._turn == 1 else None
        if self.behaviour is Behaviour.SCREENED:
            return SCREENING_PROMPT[language] if self._turn == 1 else self._text_of_person(self._turn - 1, language)
        if self.behaviour is Behaviour.SWITCHBOARD:
            text = self._switchboard.text(self._turn, language)
            return text or self._text_of_person(self._turn - self._switchboard.connected_turn + 1, language)
        return self._text_of_person(self._turn, language)

    def _text_of_person(self, turn: int, language: Language) -> str | None:
        phrases = self.settings.phrases
        if phrases is not None:
            return phrases[turn - 1] if turn <= len(phrases) else None
        if turn > self._last_turn:
            return None
        if turn == 2 and self.behaviour is Behaviour.DICTATES:
            return NUMBERS[language]
        if turn == self._last_turn:
            return self.draw.choice(GOODBYES[language])
        if self.behaviour is Behaviour.LONG_TALKER:
            return self._next_phrase(LONG_ANSWERS[language])
        return self._next_phrase((OPENINGS if turn == 1 else ANSWERS)[language])

    def _next_phrase(self, phrases: Sequence[str]) -> str:
        """Returns the phrases in rotation from a random start, so that none is repeated in the next turn."""
        return phrases[(self._first_phrase + self._turn) % len(phrases)]

    def _barge_in_seconds(self) -> float:
        if self.behaviour in (Behaviour.MISTAKEN_HUMAN, Behaviour.INTERRUPTS) and self._turn > 1:
            return self._seconds_into_reply()
        may_interrupt = self.behaviour in (Behaviour.HUMAN, Behaviour.LONG_TALKER) and self._turn > 1
        interrupts = may_interrupt and self.draw.random() < _BARGE_IN_PROBABILITY
        return self._seconds_into_reply() if interrupts else math.inf

    def _seconds_into_reply(self) -> float:
        drawn = self.draw.uniform(1.0, 3.0)
        return drawn if self.settings.at_seconds is None else self.settings.at_seconds


@dataclass
class Population:
    """The callees by number. The same seed, weights and count of calls to a number give the same callee.

    Raises ValueError for an unknown behaviour, for a negative weight, and for weights whose sum is 0.
    """

    seed: int
    weights: Mapping[str, float] | None = None
    _overrides: dict[str, Sequence[Behaviour]] = field(default_factory=dict)
    _settings: dict[str, CalleeSettings] = field(default_factory=dict)
    _dial_counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = self.weights if self.weights is not None else DEFAULT_WEIGHTS
        self._behaviours = [Behaviour(name) for name in weights]
        self._weights = list(weights.values())
        if any(weight < 0 for weight in self._weights) or sum(self._weights) <= 0:
            raise ValueError("behaviours: weights must not be negative, and their sum must be positive")

    def override(self, number: str, behaviours: Sequence[Behaviour], settings: CalleeSettings | None = None) -> None:
        """Sets the behaviours of the next calls to a number, in order; the last one repeats. Without any: as drawn."""
        self._overrides[number] = tuple(behaviours)
        self._settings[number] = settings or CalleeSettings()
        self._dial_counts.pop(number, None)

    def dial(self, number: str) -> Callee:
        """Counts a call to the number and returns its callee."""
        count = self._dial_counts[number] = self._dial_counts.get(number, 0) + 1
        draw = random.Random(f"{self.seed}:{number}:{count}")
        return Callee(self._behaviour(number, count), draw, settings=self._settings.get(number, CalleeSettings()))

    def reset(self) -> None:
        """Removes all overrides and counts."""
        self._overrides.clear()
        self._settings.clear()
        self._dial_counts.clear()

    def _behaviour(self, number: str, count: int) -> Behaviour:
        if overrides := self._overrides.get(number):
            return overrides[min(count, len(overrides)) - 1]
        behaviour = self._first_behaviour(number)
        redial = random.Random(f"{self.seed}:{number}:again:{count}")
        if count > 1 and behaviour in _NOT_REACHED and redial.random() < _HUMAN_ON_REDIAL_PROBABILITY:
            return Behaviour.HUMAN
        return behaviour

    def _first_behaviour(self, number: str) -> Behaviour:
        return random.Random(f"{self.seed}:{number}").choices(self._behaviours, self._weights)[0]
