"""Turns of a conversation, and the order in which their sentences are spoken."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from contracts.vocabulary import MESSAGE_TURN
from telephony.instructions import GREETING_TURN

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class TurnId:
    """One turn of one attempt."""

    call_id: UUID
    attempt: int
    number: int

    @property
    def is_greeting(self) -> bool:
        """Whether the turn is the greeting, whose text is the same in every attempt of the call."""
        return self.number == GREETING_TURN

    @property
    def is_message(self) -> bool:
        """Whether the turn is the message to a machine."""
        return self.number == MESSAGE_TURN


@dataclass
class SentenceOrder(Generic[S]):
    """Puts the sentences of one turn in order. Requests may arrive in any order and more than once.

    The first request of a sentence counts. `count` is known once the turn is closed.
    """

    count: int | None = None
    _next: int = 0
    _waiting: dict[int, S] = field(default_factory=dict)

    def add(self, number: int, sentence: S) -> list[S]:
        """Adds a sentence, and returns those that can be spoken now: all that follow without a gap."""
        if number >= self._next:
            self._waiting.setdefault(number, sentence)
        ready = []
        while not self.is_complete and self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next += 1
        return ready

    def close(self, count: int) -> None:
        """Sets the number of sentences in the turn."""
        self.count = count

    @property
    def is_complete(self) -> bool:
        """Whether `add` has returned every sentence of the turn."""
        return self.count is not None and self._next >= self.count
