"""One API of a vendor, as one process uses it."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from chassis import tracing
from providers.breakers import BreakerState, CircuitBreaker
from providers.failures import Failure, RequestFailed
from providers.metrics import BREAKER_STATE, BREAKER_TRANSITIONS, REQUEST_SECONDS, REQUESTS

T = TypeVar("T")

logger = structlog.get_logger()


@dataclass
class Request:
    """A request in progress, and its outcome, which is counted when the request ends.

    An adapter that does not raise RequestFailed records the outcome with these methods.
    """

    outcome: str = "abandoned"
    has_succeeded: bool | None = field(default=None, init=False)
    """None if the outcome shows nothing about the provider: the request was abandoned or refused."""

    def succeeded(self) -> None:
        """Records a complete answer."""
        self.outcome, self.has_succeeded = "succeeded", True

    def failed(self, failure: Failure) -> None:
        """Records a failure that counts towards opening the circuit breaker."""
        self.outcome, self.has_succeeded = failure.value, False

    def refused(self, failure: Failure) -> None:
        """Records a failure that is not the provider's: it refused a wrong or unacceptable request."""
        self.outcome, self.has_succeeded = failure.value, None


class Provider:
    """Sends requests to one API with bounded concurrency, behind a circuit breaker, counted and timed.

    `name` labels the metrics. `capacity` limits the requests in progress; providers of one account share it. If several
    providers share a name, their breakers have no gauge (`has_gauge`): it shows the state of one.
    """

    def __init__(
        self,
        name: str,
        *,
        capacity: asyncio.Semaphore,
        max_failures: int,
        cooldown_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        has_gauge: bool = True,
    ) -> None:
        self.name = name
        self._capacity = capacity
        self.breaker = CircuitBreaker(
            max_failures=max_failures, cooldown_seconds=cooldown_seconds, clock=clock, on_change=self._count_change
        )
        if has_gauge:
            BREAKER_STATE.labels(provider=name).set_function(lambda: self.breaker.state)
        for state in BreakerState:
            BREAKER_TRANSITIONS.labels(provider=name, state=state.name.lower())

    async def stream(self, answer: AsyncGenerator[T, None], *, first_by: float) -> AsyncGenerator[T, None]:
        """Yields the pieces of `answer`, a generator that sends its request when it is first iterated.

        Waits for capacity until `first_by`, an instant of the running loop's clock. A caller that closes the stream
        early is not counted as a provider failure. Raises RequestFailed, also after the first piece.
        """
        max_wait_seconds = max(0.0, first_by - asyncio.get_running_loop().time())
        async with self.request(max_wait_seconds=max_wait_seconds), aclosing(answer) as pieces:
            async for piece in pieces:
                yield piece

    @asynccontextmanager
    async def request(self, *, max_wait_seconds: float) -> AsyncIterator[Request]:
        """Surrounds one request, from its sending to the end of its answer. Raises RequestFailed if it is not sent.

        A block that ends normally has succeeded; one that raises RequestFailed has failed; any other exception
        abandons the request. The adapter sets the deadlines of the answer and of its parts.
        """
        if not self.breaker.may_begin:  # a caller must not wait for capacity that it cannot use
            raise self._not_sent(Failure.BREAKER_OPEN)
        try:
            async with asyncio.timeout(max_wait_seconds):
                await self._capacity.acquire()
        except TimeoutError as error:
            raise self._not_sent(Failure.NO_CAPACITY) from error
        try:
            if not self.breaker.may_begin:  # it may have opened during the wait
                raise self._not_sent(Failure.BREAKER_OPEN)
            async with self._measured() as request:
                yield request
        finally:
            self._capacity.release()

    @asynccontextmanager
    async def _measured(self) -> AsyncIterator[Request]:
        generation, request, started_at = self.breaker.begin(), Request(), time.monotonic()
        # The span is never the current one: a generator would leave it current in its caller between two pieces.
        span = tracing.TRACER.start_span(f"ask {self.name}", kind=tracing.ASK)
        try:
            yield request
            if request.outcome == "abandoned":
                request.succeeded()
        except RequestFailed as error:
            record = request.refused if error.failure.is_refusal else request.failed
            record(error.failure)
            raise
        finally:
            span.set_attribute("outcome", request.outcome)
            span.end()
            results = {True: self.breaker.succeeded, False: self.breaker.failed, None: self.breaker.abandoned}
            results[request.has_succeeded](generation)
            REQUESTS.labels(provider=self.name, outcome=request.outcome).inc()
            REQUEST_SECONDS.labels(provider=self.name).observe(time.monotonic() - started_at)

    def _not_sent(self, failure: Failure) -> RequestFailed:
        REQUESTS.labels(provider=self.name, outcome=failure.value).inc()
        return RequestFailed(failure)

    def _count_change(self, state: BreakerState) -> None:
        BREAKER_TRANSITIONS.labels(provider=self.name, state=state.name.lower()).inc()
        logger.warning("breaker_changed", provider=self.name, state=state.name.lower())
