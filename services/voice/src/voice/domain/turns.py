"""In which order the sentences of a turn are spoken, whatever order and however often they are asked for."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass
class TurnOrder(Generic[S]):
    """The sentences of one turn. A sentence's first request counts; `count` is known when the turn is closed."""

    count: int | None = None
    _next: int = 0
    _waiting: dict[int, S] = field(default_factory=dict)

    def ask(self, number: int, sentence: S) -> list[S]:
        """The sentences that can be spoken now that `number` is known: those that follow without a gap."""
        if number >= self._next:
            self._waiting.setdefault(number, sentence)
        ready = []
        while not self.complete and self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next += 1
        return ready

    def close(self, count: int) -> None:
        """The turn has `count` sentences."""
        self.count = count

    @property
    def complete(self) -> bool:
        """Whether every sentence of the turn has been given out."""
        return self.count is not None and self._next >= self.count
