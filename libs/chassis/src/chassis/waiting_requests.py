"""Bounds how many requests wait in this process for a build that can decode them."""

import time
from collections.abc import Callable

from contracts.consumers import Consumer


class WaitingRequests:
    """The requests that this process has rejected with a delay, and that the server has not delivered again.

    At most a tenth of the consumer's ``max_ack_pending`` may wait, so that with several replicas new requests are
    delivered, too. A request whose delay has passed does not count: any replica may have received it.
    """

    def __init__(self, consumer: Consumer, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = max(consumer.max_ack_pending // 10, 1)
        self._monotonic = monotonic
        self._again_at: dict[int, float] = {}

    def admit(self, sequence: int, delay_seconds: float) -> bool:
        """Returns whether a request may wait for that long; counts it if it may."""
        now = self._monotonic()
        self._again_at.pop(sequence, None)
        if len(self._again_at) >= self._limit:
            self._again_at = {known: at for known, at in self._again_at.items() if at > now}
        if len(self._again_at) >= self._limit:
            return False
        self._again_at[sequence] = now + delay_seconds
        return True
