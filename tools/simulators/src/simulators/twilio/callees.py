"""The callees: which number answers, how, and what the callee says. Everything is a function of the seed."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from simulators.twilio.callee_phrases import (
    ANSWERS,
    GOODBYES,
    LONG_ANSWERS,
    MACHINE_GREETING,
    OPENINGS,
    OPT_OUTS,
    SCREENING_PROMPT,
    Language,
)


class Behaviour(StrEnum):
    """What a callee does in one call. `refused` fails the create request; `invalid` fails the accepted call.

    `mistaken_human` is a person whom detection takes for a machine; it interrupts what is played. `screened` is one
    whose call-screening assistant asks first who calls. `presses_key` interrupts the first prompt by `OPT_OUT_KEY`.
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
    callee hears before it interrupts; infinite if it does not.
    """

    text: str
    confidence: float
    delay: float
    barge_in_seconds: float = math.inf


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
    _turn: int = 0
    _last_turn: int = 0
    _first_phrase: int = 0
    _silent_turns: int = 0

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
        self._turn += 1
        text = self._text(language)
        if text is None:
            self._silent_turns += 1
            return None
        return Utterance(
            text,
            confidence=round(self.draw.uniform(0.72, 0.98), 2),
            delay=self.draw.uniform(0.4, 1.2),
            barge_in_seconds=self._barge_in_seconds(),
        )

    def press_key(self) -> KeyPress | None:
        """Returns the key that the callee presses while a prompt is played, or None."""
        if self.behaviour is not Behaviour.PRESSES_KEY:
            return None
        return KeyPress(OPT_OUT_KEY, barge_in_seconds=self.draw.uniform(1.0, 3.0))

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
        return self._text_of_person(self._turn, language)

    def _text_of_person(self, turn: int, language: Language) -> str | None:
        if turn > self._last_turn:
            return None
        if turn == self._last_turn:
            return self.draw.choice(GOODBYES[language])
        if self.behaviour is Behaviour.LONG_TALKER:
            return self._next_phrase(LONG_ANSWERS[language])
        return self._next_phrase((OPENINGS if turn == 1 else ANSWERS)[language])

    def _next_phrase(self, phrases: Sequence[str]) -> str:
        """Returns the phrases in rotation from a random start, so that none is repeated in the next turn."""
        return phrases[(self._first_phrase + self._turn) % len(phrases)]

    def _barge_in_seconds(self) -> float:
        if self.behaviour is Behaviour.MISTAKEN_HUMAN and self._turn > 1:
            return self.draw.uniform(1.0, 3.0)
        may_interrupt = self.behaviour in (Behaviour.HUMAN, Behaviour.LONG_TALKER) and self._turn > 1
        interrupts = may_interrupt and self.draw.random() < _BARGE_IN_PROBABILITY
        return self.draw.uniform(1.0, 3.0) if interrupts else math.inf


@dataclass
class Population:
    """The callees by number. The same seed, weights and count of calls to a number give the same callee.

    Raises ValueError for an unknown behaviour, for a negative weight, and for weights whose sum is 0.
    """

    seed: int
    weights: Mapping[str, float] | None = None
    _overrides: dict[str, Sequence[Behaviour]] = field(default_factory=dict)
    _dial_counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = self.weights if self.weights is not None else DEFAULT_WEIGHTS
        self._behaviours = [Behaviour(name) for name in weights]
        self._weights = list(weights.values())
        if any(weight < 0 for weight in self._weights) or sum(self._weights) <= 0:
            raise ValueError("behaviours: weights must not be negative, and their sum must be positive")

    def override(self, number: str, behaviours: Sequence[Behaviour]) -> None:
        """Sets the behaviours of the next calls to a number, in order; the last one repeats."""
        self._overrides[number] = tuple(behaviours)
        self._dial_counts.pop(number, None)

    def dial(self, number: str) -> Callee:
        """Counts a call to the number and returns its callee."""
        count = self._dial_counts[number] = self._dial_counts.get(number, 0) + 1
        return Callee(self._behaviour(number, count), random.Random(f"{self.seed}:{number}:{count}"))

    def reset(self) -> None:
        """Removes all overrides and counts."""
        self._overrides.clear()
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
