"""Which dials count towards the account's rate limit, and when the next one is permitted.

Theory. At most `limit` dials may arrive at the provider within any one second. The instant of arrival is not known
here: it lies between the permit (`dial.cleared`) and the outcome (`dial.placed`, `dial.refused`, `dial.unknown`). So
a dial counts from its permit until one second after its outcome, and a new permit requires that fewer dials than the
limit count.

Proof. Take all dials that arrive within some second, and of these the one whose permit is the last. At the instant of
that permit, each of the others had its permit already. None of them had an outcome older than one second, because an
outcome follows its arrival, and the arrival is within the same second. So all of them counted, and with the last one
they are not more than the limit.

An attempt that has an outcome before its permit was claimed without one: a settlement or a hang-up has refused it while
its order waited. It is never dialled, so it gets no permit, and a permit that it has counts for nothing.

Instants are those at which events arrive in this process, by its own clock. Events arrive after they happened, so a
dial counts longer than it must, and never shorter. The price is the provider's latency: at one dial a second and an
answer after 50 ms, 95 % of the limit is used.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

MAX_OUTCOMES = 10_000
"""How many attempts with an outcome are remembered; more than may wait for a permit at the same time."""


@dataclass(slots=True)
class RateLimit:
    """The fold of permits and outcomes. Instants are in seconds.

    A rate below 1 allows one dial in each window of ``1 / per_second`` seconds. A rate above 1 is rounded down. An
    attempt without an outcome stops counting after `max_pending_seconds`: then its request has been sent, or never
    will be.
    """

    per_second: float
    max_pending_seconds: float
    last_permit_sequence: int = 0
    _required_sequence: int | None = 0
    """The permit that must be applied before a new one is possible; none while it is not known."""
    _former_sequence: int = 0
    """The last permit of an older build, which is on another subject than the chain."""
    _pending: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    """Permit sequence and arrival of attempts without an outcome."""
    _outcomes: OrderedDict[tuple[str, int], None] = field(default_factory=OrderedDict)
    """The last attempts with an outcome."""
    _finished: deque[tuple[int, float]] = field(default_factory=deque)
    """Permit sequence and arrival of the outcome of attempts that may still count."""

    @property
    def limit(self) -> int:
        """The number of dials that may count at the same time."""
        return max(1, int(self.per_second))

    @property
    def window_seconds(self) -> float:
        """How long a dial counts after its outcome."""
        return max(1.0, 1 / self.per_second)

    @property
    def guard_sequence(self) -> int:
        """The last permit of the chain; 0: it has none."""
        return self.last_permit_sequence if self.last_permit_sequence > self._former_sequence else 0

    @property
    def is_current(self) -> bool:
        """Whether every permit that was in the log when reading began has been applied."""
        return self._required_sequence is not None and self.last_permit_sequence >= self._required_sequence

    def restart(self) -> None:
        """Prepares for reading the log again. The rate limit is not current until `begin`."""
        self.last_permit_sequence = 0
        self._required_sequence = None
        self._pending.clear()

    def begin(self, last_permit_sequence: int, *, is_chained: bool = True) -> None:
        """Sets the last permit in the log, which must be applied first; 0: the log has none."""
        self._required_sequence = last_permit_sequence
        self._former_sequence = 0 if is_chained else last_permit_sequence

    def add_permit(self, sequence: int, call_id: str, attempt: int, now: float) -> None:
        """Applies a permit that arrived at `now`."""
        self.last_permit_sequence = sequence
        if not self.has_outcome(call_id, attempt):
            self._pending[call_id, attempt] = (sequence, now)

    def has_outcome(self, call_id: str, attempt: int) -> bool:
        """Whether the attempt is known to have an outcome, so that it needs no permit."""
        return (call_id, attempt) in self._outcomes

    def add_outcome(self, sequence: int, call_id: str, attempt: int, now: float) -> None:
        """Applies an outcome that arrived at `now`. Without a known permit, the outcome's own sequence counts."""
        permit_sequence, _ = self._pending.pop((call_id, attempt), (sequence, now))
        self._finished.append((permit_sequence, now))
        self._outcomes[call_id, attempt] = None
        if len(self._outcomes) > MAX_OUTCOMES:
            self._outcomes.popitem(last=False)

    def wait_seconds(self, now: float) -> float:
        """Returns after how many seconds a permit is possible without a further outcome; 0: now."""
        while self._finished and self._finished[0][1] + self.window_seconds <= now:
            self._finished.popleft()
        expired = [key for key, (_, at) in self._pending.items() if at + self.max_pending_seconds <= now]
        for key in expired:
            del self._pending[key]
        if len(self._pending) + len(self._finished) < self.limit:
            return 0.0
        ends = [at + self.window_seconds for _, at in self._finished]
        ends += [at + self.max_pending_seconds for _, at in self._pending.values()]
        return min(ends) - now

    @property
    def replay_from_sequence(self) -> int:
        """The sequence from which a reader finds every dial that still counts, and the next permit."""
        permits = [sequence for sequence, _ in [*self._pending.values(), *self._finished]]
        return min(permits, default=self.last_permit_sequence + 1)
