"""Holds dial orders back while the telephone provider's circuit breaker is open.

Theory. With an open breaker, each attempt would be claimed, refused as not sent, and put off. So an order waits at the
gate before its permit and its claim: it uses nothing of the rate limit, and no process owns its attempt yet. Its call
can still be canceled or settled, which refuses the attempt (`attempts.record_undialled`). A waiting order occupies a
slot, and few calls may be between their grant and their dial, so all other calls wait in the queue.

When the cool-down is over, the gate lets one order through. If its request succeeds, the breaker closes and the others
follow in their order; if it fails, the next one tries after another cool-down. Each process has its own breaker and
gate (docs/adr/0016).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from chassis.retry_later import RetryLater
from providers import BreakerState, CircuitBreaker
from voice.metrics import GATED_DIALS

_UNSUBSCRIBE_SECONDS = 1.0

logger = structlog.get_logger()


class ServiceStopping(RetryLater):
    """This process stops before the order was dialled: another replica dials it, or this one after its restart.

    The delay lets this process unsubscribe first. FastStream drops messages that arrive while it stops, and the server
    would deliver them again only after the consumer's ``ack_wait``.
    """

    def __init__(self) -> None:
        super().__init__(delay=_UNSUBSCRIBE_SECONDS)


class DialGate:
    """The gate of one process. `stopping` is set when the process begins to stop."""

    def __init__(self, breaker: CircuitBreaker, stopping: asyncio.Event) -> None:
        self._breaker = breaker
        self._stopping = stopping
        self._first = asyncio.Lock()
        self._is_blocked = False

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[bool]:
        """Enters the block when the order may be dialled, with whether it has waited. Raises ServiceStopping.

        While the breaker is not closed, one order at a time is in its block.
        """
        has_waited = not self._is_breaker_closed()
        if has_waited:
            self._report_blocked()
            with GATED_DIALS.track_inprogress():
                async with self._first:
                    await self._wait_for_cool_down()
                    if not self._is_breaker_closed():
                        yield True
                        return
        self._report_open()
        yield has_waited

    def _report_blocked(self) -> None:
        """Logs that the gate blocks all dials, once until it is open again (law 14)."""
        if not self._is_blocked:
            self._is_blocked = True
            logger.warning("dials_blocked", breaker=self._breaker.state, wait_seconds=self._breaker.wait_seconds)

    def _report_open(self) -> None:
        if self._is_blocked:
            self._is_blocked = False
            logger.info("dials_unblocked")

    def _is_breaker_closed(self) -> bool:
        return self._breaker.state is BreakerState.CLOSED

    async def _wait_for_cool_down(self) -> None:
        while (seconds := self._breaker.wait_seconds) > 0:
            if self._stopping.is_set():
                raise ServiceStopping
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
