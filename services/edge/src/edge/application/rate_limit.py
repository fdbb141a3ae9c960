"""The number of requests that an API key may make: one token bucket per key, in the memory of this replica."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """`per_second` requests on average; up to `burst` at once after a pause."""

    per_second: float
    burst: int


class TokenBuckets:
    """One bucket per key digest. The settings bound their number, so buckets are never removed."""

    def __init__(self, limit: RequestLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> int | None:
        """Takes one token and returns None; without a token, returns the whole seconds to wait (at least 1)."""
        now = self._clock()
        tokens, updated_at = self._levels.get(name, (float(self._limit.burst), now))
        tokens = min(tokens + (now - updated_at) * self._limit.per_second, float(self._limit.burst))
        has_token = tokens >= 1
        self._levels[name] = (tokens - 1 if has_token else tokens, now)
        return None if has_token else max(1, math.ceil((1 - tokens) / self._limit.per_second))
