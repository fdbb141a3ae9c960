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

MAX_DEBT_SECONDS = 30.0
"""How long work that was charged afterwards keeps a key from further requests."""


class TokenBuckets:
    """One bucket per name, such as a key's digest. The least recently used bucket is removed first."""

    def __init__(self, limit: RequestLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> int | None:
        """Takes one token and returns None; without a token, returns the whole seconds to wait (at least 1)."""
        tokens = self._level(name)
        has_token = tokens >= 1
        self._set(name, tokens - 1 if has_token else tokens)
        return None if has_token else max(1, math.ceil((1 - tokens) / self._limit.per_second))

    def charge(self, name: str, tokens: float) -> None:
        """Takes tokens for work that was done, also those that are not there yet: `take` refuses until they are back.

        It refuses for at most `MAX_DEBT_SECONDS`.
        """
        self._set(name, max(self._level(name) - tokens, -MAX_DEBT_SECONDS * self._limit.per_second))

    def debt_seconds(self, name: str) -> int | None:
        """Returns the whole seconds until the tokens are back that were charged and not there; None without such."""
        tokens = self._level(name)
        return math.ceil(-tokens / self._limit.per_second) if tokens < 0 else None

    def _level(self, name: str) -> float:
        now = self._clock()
        tokens, updated_at = self._levels.get(name, (float(self._limit.burst), now))
        return min(tokens + (now - updated_at) * self._limit.per_second, float(self._limit.burst))

    def _set(self, name: str, tokens: float) -> None:
        self._levels[name] = (tokens, self._clock())
        self._levels.move_to_end(name)
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)
