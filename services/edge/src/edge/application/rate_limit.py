"""Rate limits in the memory of this replica: a token bucket for each API key, and for each address with wrong keys."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """`per_second` requests on average; up to `burst` at once after a pause."""

    per_second: float
    burst: int


MAX_BUCKETS = 10_000
"""More than the API keys of any installation. Clients' addresses may be more; the oldest bucket is then removed."""


class TokenBuckets:
    """One bucket per name, such as a key's digest. The least recently used bucket is removed first."""

    def __init__(self, limit: RequestLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> int | None:
        """Takes one token and returns None; without a token, returns the whole seconds to wait (at least 1)."""
        now = self._clock()
        tokens, updated_at = self._levels.get(name, (float(self._limit.burst), now))
        tokens = min(tokens + (now - updated_at) * self._limit.per_second, float(self._limit.burst))
        has_token = tokens >= 1
        self._levels[name] = (tokens - 1 if has_token else tokens, now)
        self._levels.move_to_end(name)
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)
        return None if has_token else max(1, math.ceil((1 - tokens) / self._limit.per_second))
