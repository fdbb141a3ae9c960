"""What reading a call costs its API key: one request for each `EVENTS_PER_REQUEST` events, beside the request itself.

The rate limit counts requests, and a story costs as much CPU as the call has events. So the events that were read are
taken from the bucket of the key afterwards, when their number is known. The bucket may then be overdrawn: the key gets
429 until its tokens are back. A key reads at most `MAX_READS` calls at once, so few reads begin before the first one is
charged.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from edge.application.errors import TooManyReads
from edge.application.keys import Key
from edge.application.rate_limit import TokenBuckets

EVENTS_PER_REQUEST = 50
"""Events of one call that cost as much as a request without them."""
MAX_READS = 2
"""Calls that one key reads at once in one process. Further reads wait for their turn."""

T = TypeVar("T")


class ReadCosts:
    """Bounds the reads of calls of each key, and charges them to its bucket."""

    def __init__(self, buckets: TokenBuckets) -> None:
        self._buckets = buckets
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_READS))

    async def charged(self, key: Key, read: Callable[[], Awaitable[T]], size: Callable[[T], int]) -> T:
        """Returns what `read` returns; `size` counts the events in it. Re-raises its errors. Raises TooManyReads."""
        async with self._turns[key.digest]:
            if seconds := self._buckets.debt_seconds(key.digest):
                raise TooManyReads(seconds)
            result = await read()
            self._buckets.charge(key.digest, size(result) / EVENTS_PER_REQUEST)
            return result
