"""The population of callees: who answers, how, and with what words; all of it a function of the seed."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from simulators.twilio.callee_phrases import ANSWERS, GOODBYES, MACHINE_GREETING, OPENINGS, STORIES, Language


class Behaviour(StrEnum):
    """How a callee meets one dial. `invalid` fails after the create was accepted, `refused` at the create."""

    HUMAN = "human"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    INVALID = "invalid"
    REFUSED = "refused"
    HANGS_UP = "hangs_up"
    SILENT = "silent"
    VOICEMAIL = "voicemail"
    LONG_TALKER = "long_talker"


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
_MAY_CHANGE = (Behaviour.BUSY, Behaviour.NO_ANSWER, Behaviour.VOICEMAIL)
_CHANGES_WITH = 0.6
_SILENCES_BEFORE_HANGING_UP = 4


@dataclass(frozen=True)
class Reply:
    """What a callee says in a turn. Times in nominal seconds: before it begins to speak after the prompt
    (`delay`), or of prompt heard before it speaks over it (`barges_in_after`, infinite when it does not).
    """

    text: str
    confidence: float
    delay: float
    barges_in_after: float = math.inf


@dataclass
class Callee:
    """One person (or machine) at one dial. Times in nominal seconds.

    `hears_out` is how much sound it listens to before it hangs up; `patience` how long it stays at all.
    """

    behaviour: Behaviour
    draw: random.Random
    ring_seconds: float = 0.0
    hears_out: float = math.inf
    patience: float = math.inf
    _turn: int = 0
    _last_turn: int = 0
    _first_line: int = 0
    _silences: int = 0

    def __post_init__(self) -> None:
        self.ring_seconds = self.draw.uniform(4.0, 8.0)
        self._last_turn = self.draw.randint(2, 4)
        self._first_line = self.draw.randrange(12)
        self.patience = self.draw.uniform(240.0, 300.0)
        if self.behaviour is Behaviour.LONG_TALKER:
            self._last_turn = self.draw.randint(8, 12)
            self.patience = 900.0
        if self.behaviour is Behaviour.HANGS_UP:
            self.hears_out = self.draw.uniform(1.5, 3.0)

    def answers(self) -> bool:
        """Whether the call is picked up, by a person or by a machine."""
        return self.behaviour not in (
            Behaviour.BUSY,
            Behaviour.NO_ANSWER,
            Behaviour.INVALID,
            Behaviour.REFUSED,
        )

    def next_reply(self, language: Language) -> Reply | None:
        """The line of this turn, or None for silence."""
        self._turn += 1
        text = self._text(language)
        if text is None:
            self._silences += 1
            return None
        return Reply(
            text,
            confidence=round(self.draw.uniform(0.72, 0.98), 2),
            delay=self.draw.uniform(0.4, 1.2),
            barges_in_after=self._barges_in_after(),
        )

    def has_had_enough(self) -> bool:
        """Whether it hangs up now: it said goodbye and nobody ended the call, or silence went on too long."""
        if self.behaviour in (Behaviour.SILENT, Behaviour.VOICEMAIL):
            return self._silences >= _SILENCES_BEFORE_HANGING_UP
        return self._silences > 0

    def _text(self, language: Language) -> str | None:
        if self.behaviour is Behaviour.SILENT:
            return None
        if self.behaviour is Behaviour.VOICEMAIL:
            return MACHINE_GREETING[language] if self._turn == 1 else None
        if self._turn > self._last_turn:
            return None
        if self._turn == self._last_turn:
            return self.draw.choice(GOODBYES[language])
        if self.behaviour is Behaviour.LONG_TALKER:
            return self._in_turn(STORIES[language])
        return self._in_turn((OPENINGS if self._turn == 1 else ANSWERS)[language])

    def _in_turn(self, lines: Sequence[str]) -> str:
        """One line after the other from a line of the callee's own, so that none comes twice running."""
        return lines[(self._first_line + self._turn) % len(lines)]

    def _barges_in_after(self) -> float:
        keen = self.behaviour in (Behaviour.HUMAN, Behaviour.LONG_TALKER) and self._turn > 1
        return self.draw.uniform(1.0, 3.0) if keen and self.draw.random() < 0.2 else math.inf


@dataclass
class Population:
    """Callees by number. The same seed, weights and number of dials to a number give the same callee."""

    seed: int
    weights: Mapping[str, float] | None = None
    _overrides: dict[str, Sequence[Behaviour]] = field(default_factory=dict)
    _dials: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = self.weights if self.weights is not None else DEFAULT_WEIGHTS
        self._behaviours = [Behaviour(name) for name in weights]
        self._weights = list(weights.values())
        if any(weight < 0 for weight in self._weights) or sum(self._weights) <= 0:
            raise ValueError("behaviours: weights must not be negative, and their sum must be positive")

    def override(self, number: str, behaviours: Sequence[Behaviour]) -> None:
        """Decide how this number meets its next dials, in order; the last one holds from then on."""
        self._overrides[number] = tuple(behaviours)
        self._dials.pop(number, None)

    def dial(self, number: str) -> Callee:
        """Who is met by the next dial to this number."""
        nth = self._dials[number] = self._dials.get(number, 0) + 1
        return Callee(self._behaviour(number, nth), random.Random(f"{self.seed}:{number}:{nth}"))

    def reset(self) -> None:
        """Forget all dials and overrides."""
        self._overrides.clear()
        self._dials.clear()

    def _behaviour(self, number: str, nth: int) -> Behaviour:
        if chosen := self._overrides.get(number):
            return chosen[min(nth, len(chosen)) - 1]
        behaviour = self._nature(number)
        again = random.Random(f"{self.seed}:{number}:again:{nth}")
        if nth > 1 and behaviour in _MAY_CHANGE and again.random() < _CHANGES_WITH:
            return Behaviour.HUMAN
        return behaviour

    def _nature(self, number: str) -> Behaviour:
        nature = random.Random(f"{self.seed}:{number}")
        return nature.choices(self._behaviours, self._weights)[0]
