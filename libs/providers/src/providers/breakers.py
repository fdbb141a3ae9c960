"""Circuit breakers (M. Nygard, *Release It!*): a provider that keeps failing is left alone for a while.

Own code: docs/adr/0011 says which libraries were looked at, and what each lacks for answers that are streamed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

PROBE_SECONDS = 0.5
"""A probe that is under way may end at any time: look again after so long."""


class State(IntEnum):
    """The values are those of the metric ``centralita_breaker_state``."""

    CLOSED = 0
    """Every request may leave."""
    HALF_OPEN = 1
    """The provider has been left alone long enough: one request at a time may leave, to see how it is."""
    OPEN = 2
    """No request leaves."""


class BreakerOpen(Exception):
    """The request was not sent: the provider is being left alone."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may leave. It counts only for the period in which it was admitted: its answer may come late."""

    period: int


class Breaker:
    """Opens after `failures` in a row; `cool_down` seconds later one probe at a time decides whether it closes."""

    def __init__(
        self,
        *,
        failures: int,
        cool_down: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] = lambda _: None,
    ) -> None:
        self._limit = failures
        self._cool_down = cool_down
        self._clock = clock
        self._on_change = on_change
        self._state = State.CLOSED
        self._period = 0
        self._failures = 0
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        """As it is now; an open one becomes half-open by the passing of time."""
        if self._state is State.OPEN and self._clock() - self._opened_at >= self._cool_down:
            self._change(State.HALF_OPEN)
        return self._state

    @property
    def rest(self) -> float:
        """For how many seconds no request may leave, as far as is known now; 0: one may."""
        if self.state is State.OPEN:
            return max(0.0, self._opened_at + self._cool_down - self._clock())
        return PROBE_SECONDS if self._state is State.HALF_OPEN and self._probing else 0.0

    def check(self) -> None:
        """Raises BreakerOpen if `admit` would."""
        if self.state is State.OPEN or (self._state is State.HALF_OPEN and self._probing):
            raise BreakerOpen

    def admit(self) -> Admission:
        """Lets one request leave; it must be settled by exactly one of the three below. Raises BreakerOpen."""
        self.check()
        self._probing = self._state is State.HALF_OPEN
        return Admission(self._period)

    def succeeded(self, admission: Admission) -> None:
        """The provider has given what was asked for."""
        if admission.period != self._period:
            return
        self._failures = 0
        if self._state is State.HALF_OPEN:
            self._change(State.CLOSED)

    def failed(self, admission: Admission) -> None:
        """The provider has failed."""
        if admission.period != self._period:
            return
        self._failures += 1
        if self._state is State.HALF_OPEN or self._failures >= self._limit:
            self._change(State.OPEN)

    def abandoned(self, admission: Admission) -> None:
        """Nobody waited for the answer, or the request itself was wrong: that says nothing of the provider."""
        if admission.period == self._period:
            self._probing = False

    def _change(self, state: State) -> None:
        self._state = state
        self._period += 1
        self._failures = 0
        self._probing = False
        if state is State.OPEN:
            self._opened_at = self._clock()
        self._on_change(state)
