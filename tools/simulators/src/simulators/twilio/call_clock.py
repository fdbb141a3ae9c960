"""Simulated time: a telephone call with its real durations, run `speed` times faster.

The durations of the telephone network (ringing, sound, pauses) take `seconds / speed` of real time. The latency of the
application's servers counts unscaled, so that a fast simulation does not magnify it.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_EPSILON_SECONDS = 1e-6


class CallEnded(Exception):
    """The call ended. `by` names the cause: callee, twiml, time_limit or application_error."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by


@dataclass
class CallClock:
    """The connected time of a call, in simulated seconds, with the limits of Twilio and of the callee."""

    speed: float
    elapsed: float = 0.0
    time_limit: float = math.inf
    callee_limit: float = math.inf

    async def sleep(self, seconds: float) -> None:
        """Sleeps for simulated seconds. Raises CallEnded when a limit is reached."""
        allowed = max(0.0, min(seconds, self.remaining()))
        started = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(allowed / self.speed)
        except asyncio.CancelledError:
            slept = (asyncio.get_running_loop().time() - started) * self.speed
            self.elapsed += min(allowed, slept)
            raise
        self.elapsed += allowed
        self.check()

    @contextmanager
    def real_time(self) -> Iterator[None]:
        """Counts the block in real seconds, unscaled."""
        started = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.elapsed += asyncio.get_running_loop().time() - started

    def check(self) -> None:
        """Raises CallEnded if the call has reached Twilio's limit or the callee's."""
        if self.remaining() <= _EPSILON_SECONDS:
            raise CallEnded("time_limit" if self.time_limit <= self.callee_limit else "callee")

    def remaining(self) -> float:
        """Returns the simulated seconds until the call must end."""
        return min(self.time_limit, self.callee_limit) - self.elapsed
