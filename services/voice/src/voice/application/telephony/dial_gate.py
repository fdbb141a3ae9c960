"""Orders to dial wait here while the telephone provider is being left alone.

An order that waits is not claimed and takes nothing of the pace: its call can be canceled, and when its time has passed
it is ruled out and put off (`attempts.rule_out`). It holds a slot, so while the first few wait here, all other calls
wait in the queue. Each process holds by its own breaker.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from chassis.retry_later import RetryLater
from providers import BreakerState, CircuitBreaker
from voice.metrics import GATED_DIALS


class Stopping(RetryLater):
    """This process ends before the order could be dialled: another replica gets it at once."""

    def __init__(self) -> None:
        super().__init__(delay=0.0)


class DialGate:
    """Lets orders through: all of them while `breaker` is closed, none while it is open, then one that tries."""

    def __init__(self, breaker: CircuitBreaker, stopping: asyncio.Event) -> None:
        self._breaker = breaker
        self._stopping = stopping
        self._first = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The block is entered when the provider may be asked. Raises Stopping.

        As long as the provider is not known to be well, one order is in its block at a time: what becomes of it decides
        on the others. They stand in the order in which they came.
        """
        if not self._is_well():
            with GATED_DIALS.track_inprogress():
                async with self._first:
                    await self._rested()
                    if not self._is_well():
                        yield
                        return
        yield

    def _is_well(self) -> bool:
        return self._breaker.state is BreakerState.CLOSED

    async def _rested(self) -> None:
        while (seconds := self._breaker.wait_seconds) > 0:
            if self._stopping.is_set():
                raise Stopping
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
