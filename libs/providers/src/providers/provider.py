"""A provider as one process asks it: so many requests at once, behind a breaker, each counted."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Gauge, Histogram

from chassis import tracing
from providers.breakers import Breaker, BreakerOpen, State

_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 12, 20, 30, 60)

REQUESTS = Counter("centralita_provider_requests", "Requests to a provider, by outcome", ["provider", "outcome"])
SECONDS = Histogram(
    "centralita_provider_seconds", "From sending a request to the end of its answer", ["provider"], buckets=_SECONDS
)
STATE = Gauge("centralita_breaker_state", "0: closed, 1: half-open, 2: open", ["provider"])
TRANSITIONS = Counter("centralita_breaker_transitions", "Changes of a breaker, by its new state", ["provider", "state"])

FALLBACKS = Counter("centralita_fallbacks", "What stood in for a provider's first choice, by step", ["step"])

BREAKER_OPEN = "breaker_open"
NO_CAPACITY = "no_capacity"

logger = structlog.get_logger()


class Unavailable(Exception):
    """The request was not sent. `outcome`: BREAKER_OPEN, or NO_CAPACITY if none was free in time."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass
class Request:
    """One request under way. Whoever says nothing of its end has abandoned it."""

    outcome: str = "abandoned"
    success: bool | None = field(default=None, init=False)

    def succeeded(self) -> None:
        """The whole answer came."""
        self.outcome, self.success = "succeeded", True

    def failed(self, outcome: str) -> None:
        """The provider is to blame. `outcome` labels a metric: one of a few names."""
        self.outcome, self.success = outcome, False

    def refused(self, outcome: str) -> None:
        """The provider is not to blame: a wrong request, or one that it would not serve."""
        self.outcome, self.success = outcome, None


class Provider:
    """`name` labels the metrics. `places` may be shared by several that one account of the vendor serves."""

    def __init__(
        self,
        name: str,
        *,
        places: asyncio.Semaphore,
        failures: int,
        cool_down: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._places = places
        self.breaker = Breaker(failures=failures, cool_down=cool_down, clock=clock, on_change=self._changed)
        STATE.labels(provider=name).set_function(lambda: self.breaker.state)
        for state in State:
            TRANSITIONS.labels(provider=name, state=state.name.lower())

    @asynccontextmanager
    async def request(self, *, patience: float) -> AsyncIterator[Request]:
        """One request, from its sending to the end of its answer; waits `patience` seconds at most for its place.

        Sets no deadline: that is the adapter's, who knows which part of an answer is overdue. Raises Unavailable.
        """
        try:
            self.breaker.check()  # nobody queues for a provider that is being left alone
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except (BreakerOpen, TimeoutError) as error:
            raise self._unavailable(error) from error
        try:
            async with self._admitted() as request:
                yield request
        finally:
            self._places.release()

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[Request]:
        try:
            admission = self.breaker.admit()
        except BreakerOpen as error:
            raise self._unavailable(error) from error
        request, begun = Request(), time.monotonic()
        span = tracing.TRACER.start_span(f"ask {self.name}", kind=tracing.ASK)  # never current: answers are streamed
        try:
            yield request
        finally:
            span.set_attribute("outcome", request.outcome)
            span.end()
            settle = {True: self.breaker.succeeded, False: self.breaker.failed, None: self.breaker.abandoned}
            settle[request.success](admission)
            REQUESTS.labels(provider=self.name, outcome=request.outcome).inc()
            SECONDS.labels(provider=self.name).observe(time.monotonic() - begun)

    def _unavailable(self, error: Exception) -> Unavailable:
        outcome = BREAKER_OPEN if isinstance(error, BreakerOpen) else NO_CAPACITY
        REQUESTS.labels(provider=self.name, outcome=outcome).inc()
        return Unavailable(outcome)

    def _changed(self, state: State) -> None:
        TRANSITIONS.labels(provider=self.name, state=state.name.lower()).inc()
        logger.warning("breaker_changed", provider=self.name, state=state.name.lower())
