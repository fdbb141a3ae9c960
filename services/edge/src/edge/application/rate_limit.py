"""How many requests a key may make: a token bucket each, in the memory of this replica."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_second` requests on average, and up to `burst` of them at once after a pause."""

    per_second: float
    burst: int


class Buckets:
    """A bucket for each name; there are as many as keys in the settings, so none is ever thrown away."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> int | None:
        """Takes a token; if there is none, the whole seconds (at least 1) after which there will be one."""
        now = self._clock()
        tokens, since = self._levels.get(name, (float(self._pace.burst), now))
        tokens = min(tokens + (now - since) * self._pace.per_second, float(self._pace.burst))
        enough = tokens >= 1
        self._levels[name] = (tokens - 1 if enough else tokens, now)
        return None if enough else max(1, math.ceil((1 - tokens) / self._pace.per_second))
