"""How many attempts may be sent to the provider in any one second.

Theory. An attempt is sent at some instant between its clearance and its outcome; when it arrives at the provider within
that span, nobody here knows. So it counts from the clearance on until one second after the outcome, and fewer than
the limit may count when the next one is cleared. Then no second holds more than the limit: take the attempt of that
second which was cleared last; every other one of it had been cleared, and had no outcome or one that was younger than a
second, so it counted. Instants are those at which facts arrive here, by the clock of this process alone: facts arrive
after they happened, which makes the wait longer and never shorter.

The price is the provider's latency: at a limit of one a second and an answer after 50 ms, 95 % of the limit is used.
"""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """The fold of clearances and outcomes.

    `per_second` below 1 means one in each span of ``1 / per_second`` seconds; a fraction above 1 is dropped, since no
    second could hold it. After `patience` seconds an attempt without an outcome has been sent or never will be.
    """

    per_second: float
    patience: float
    last_clearance: int = 0
    _under_way: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    _over: deque[tuple[int, float]] = field(default_factory=deque)

    @property
    def limit(self) -> int:
        """How many may count at once."""
        return max(1, int(self.per_second))

    @property
    def span(self) -> float:
        """For how many seconds after its outcome an attempt counts."""
        return max(1.0, 1 / self.per_second)

    def forget(self) -> None:
        """Everything is read again; until then nothing can be cleared, since the last clearance is not known."""
        self.last_clearance = 0
        self._under_way.clear()

    def cleared(self, sequence: int, call_id: str, attempt: int, now: float) -> None:
        """An attempt was cleared."""
        self.last_clearance = sequence
        self._under_way[call_id, attempt] = (sequence, now)

    def over(self, sequence: int, call_id: str, attempt: int, now: float) -> None:
        """An attempt has its outcome."""
        begun, _ = self._under_way.pop((call_id, attempt), (sequence, now))
        self._over.append((begun, now))

    def wait(self, now: float) -> float:
        """For how many seconds nothing can be cleared, unless an outcome comes; 0: now."""
        while self._over and self._over[0][1] + self.span <= now:
            self._over.popleft()
        for key in [key for key, (_, begun) in self._under_way.items() if begun + self.patience <= now]:
            del self._under_way[key]
        if len(self._under_way) + len(self._over) < self.limit:
            return 0.0
        ends = [arrived + self.span for _, arrived in self._over]
        ends += [begun + self.patience for _, begun in self._under_way.values()]
        return min(ends) - now

    def since(self) -> int:
        """The sequence from which the log tells of all that counts, and of what is cleared next."""
        counted = [sequence for sequence, _ in [*self._under_way.values(), *self._over]]
        return min(counted, default=self.last_clearance + 1)
