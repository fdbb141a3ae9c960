"""Nominal time: a telephone call at its true length, run `speed` times faster."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class CallOver(Exception):
    """The call has ended from one of its sides. `by`: callee, twiml, time_limit or application_error."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by


@dataclass
class CallClock:
    """How long a call has been connected, in nominal seconds.

    What the telephone does (ringing, sounding, pausing) takes `seconds / speed`; what our servers take
    is real time and counts as it is, so that a fast simulation does not magnify them.
    """

    speed: float
    elapsed: float = 0.0
    time_limit: float = math.inf
    patience: float = math.inf

    async def sleep(self, seconds: float) -> None:
        """Let nominal seconds pass. Raises CallOver when the call's limit or its callee's patience ends."""
        allowed = max(0.0, min(seconds, self.left()))
        begun = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(allowed / self.speed)
        except asyncio.CancelledError:
            passed = (asyncio.get_running_loop().time() - begun) * self.speed
            self.elapsed += min(allowed, passed)
            raise
        self.elapsed += allowed
        self.check()

    @contextmanager
    def real_time(self) -> Iterator[None]:
        """Count what happens inside in real seconds."""
        begun = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.elapsed += asyncio.get_running_loop().time() - begun

    def check(self) -> None:
        """Raise CallOver if the call has lasted too long for Twilio or for the callee."""
        if self.left() <= 1e-6:
            raise CallOver("time_limit" if self.time_limit <= self.patience else "callee")

    def left(self) -> float:
        """Nominal seconds until the call must end."""
        return min(self.time_limit, self.patience) - self.elapsed
