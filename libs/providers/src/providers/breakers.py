"""Circuit breakers (M. Nygard, *Release It!*, chapter "Stability Patterns").

While a provider keeps failing, each request to it waits for one more failure. A circuit breaker stops the requests:
callers use their fallback at once, and the provider can recover. It has three states:

- **Closed**: all requests are sent. After `max_failures` failures in a row it opens; a success resets the count.
- **Open**: no request is sent. After the cooldown it becomes half-open.
- **Half-open**: one request at a time is sent, the **probe**. A success closes the breaker, a failure opens it again.

A request ends in one of three results: success, failure, or *abandoned*. An abandoned request shows nothing about the
provider: the caller stopped waiting (the callee interrupted the sentence), or the request itself was refused. It does
not count, and an abandoned probe makes room for the next one.

A request that began before the last state change may end after it. Its result must not count: a late success would
close a breaker that has just opened, and a late failure would decide in place of the probe. So each state change begins
a new **generation**. A request belongs to the generation in which it began; results of older generations are ignored.

Each process has its own breakers. docs/adr/0011 compares libraries and explains why this one is our own.
"""

import time
from collections.abc import Callable
from enum import IntEnum
from typing import NewType

PROBE_POLL_SECONDS = 0.5
"""How long to wait before looking again while a probe is in progress: it may end at any time."""

Generation = NewType("Generation", int)


class BreakerState(IntEnum):
    """The state of a circuit breaker; the values are those of the metric ``centralita_breaker_state``."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class BreakerOpen(Exception):
    """The circuit breaker lets no request begin."""


class CircuitBreaker:
    """Opens after `max_failures` failures in a row; `cooldown_seconds` later, one probe at a time may close it."""

    def __init__(
        self,
        *,
        max_failures: int,
        cooldown_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self._max_failures = max_failures
        self._cooldown_seconds = cooldown_seconds
        self._clock = clock
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._generation = Generation(0)
        self._failures_in_a_row = 0
        self._opened_at = 0.0
        self._has_probe = False

    @property
    def state(self) -> BreakerState:
        """The state now. An open breaker whose cooldown is over becomes half-open here."""
        if self._state is BreakerState.OPEN and self._clock() - self._opened_at >= self._cooldown_seconds:
            self._change(BreakerState.HALF_OPEN)
        return self._state

    @property
    def may_begin(self) -> bool:
        """Whether a request may be sent now."""
        state = self.state
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self._has_probe)

    @property
    def wait_seconds(self) -> float:
        """How long to wait before asking again whether a request may begin; 0 if one may begin now."""
        if self.may_begin:
            return 0.0
        if self._state is BreakerState.OPEN:
            return max(0.0, self._opened_at + self._cooldown_seconds - self._clock())
        return PROBE_POLL_SECONDS

    def begin(self) -> Generation:
        """Begins a request. The caller reports its result with exactly one of the methods below.

        Raises BreakerOpen if no request may begin.
        """
        if not self.may_begin:
            raise BreakerOpen
        self._has_probe = self._state is BreakerState.HALF_OPEN
        return self._generation

    def succeeded(self, generation: Generation) -> None:
        """Records that the provider answered completely."""
        if generation != self._generation:
            return
        self._failures_in_a_row = 0
        if self._state is BreakerState.HALF_OPEN:
            self._change(BreakerState.CLOSED)

    def failed(self, generation: Generation) -> None:
        """Records that the provider failed."""
        if generation != self._generation:
            return
        self._failures_in_a_row += 1
        if self._state is BreakerState.HALF_OPEN or self._failures_in_a_row >= self._max_failures:
            self._change(BreakerState.OPEN)

    def abandoned(self, generation: Generation) -> None:
        """Records that the request ended without a result that counts."""
        if generation == self._generation:
            self._has_probe = False

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._generation = Generation(self._generation + 1)
        self._failures_in_a_row = 0
        self._has_probe = False
        if state is BreakerState.OPEN:
            self._opened_at = self._clock()
        self._on_change(state)
