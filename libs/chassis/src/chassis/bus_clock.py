"""The time of the NATS server, for decisions that must not depend on this machine's clock.

Deadlines are kept by the server, so the time of a decision is the server's too (docs/adr/0022). The leader of the
stream SCHEDULES publishes the timers, and each of its JetStream replies carries its time. `BusClock` reads it once a
minute and adds the monotonic time that has passed since. The middle of request and reply counts as the instant of the
reading (Cristian 1989), so the error is at most half of the round trip.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.background import run_in_background
from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS, retry_until_leader
from chassis.metrics import CLOCK_DIFFERENCE_SECONDS
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts.accounts import api_subject
from contracts.streams import SCHEDULES

REFRESH_SECONDS = 60.0
MAX_ROUND_TRIP_SECONDS = 1.0
"""A slower reading is less exact than the one before it, and is dropped."""
EXACT_SECONDS = 0.05
"""A reading with a longer round trip is repeated, up to `MAX_READINGS` in all: it counts for a minute."""
MAX_READINGS = 5
MAX_DIFFERENCE = timedelta(seconds=5)
"""A machine whose clock differs by more is reported."""

logger = structlog.get_logger()


class NoServerTime(Exception):
    """The reply of the server does not contain its time."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The server's time at an instant of the monotonic clock."""

    server_at: datetime
    monotonic_seconds: float
    round_trip_seconds: float

    def time_at(self, monotonic_seconds: float) -> datetime:
        """Returns the server's time at another instant of the monotonic clock."""
        return self.server_at + timedelta(seconds=monotonic_seconds - self.monotonic_seconds)


def wall_clock() -> datetime:
    """Returns the time of this machine."""
    return datetime.now(UTC)


async def read_server_time(client: Client, monotonic: Callable[[], float] = time.monotonic) -> Reading:
    """Returns the time of the leader of SCHEDULES. Raises NoServerTime and nats.errors.Error."""
    before = monotonic()
    # The reply as it is on the wire: nats-py omits the time.
    reply = await client.request(api_subject("STREAM.INFO", SCHEDULES.name), timeout=REQUEST_TIMEOUT_SECONDS)
    round_trip_seconds = monotonic() - before
    timestamp = json.loads(reply.data).get("ts")
    if timestamp is None:
        raise NoServerTime("nats-server 2.12 or later is required")
    return Reading(datetime.fromisoformat(timestamp), before + round_trip_seconds / 2, round_trip_seconds)


class BusClock:
    """The server's time, as `mapping` converts it. `wall_clock` is only compared with the unconverted time."""

    def __init__(
        self,
        client: Client,
        mapping: TimeMapping = REAL_TIME,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self.mapping = mapping
        self._client = client
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._reading: Reading | None = None
        self._is_reported = False

    def now(self) -> datetime:
        """Returns the present time. `measure` must have succeeded once."""
        return self.mapping.simulated(self._real_now())

    def _real_now(self) -> datetime:
        assert self._reading is not None  # noqa: S101  `running_clock` measures before it yields
        return self._reading.time_at(self._monotonic())

    async def measure(self) -> None:
        """Reads the server's time, waiting for a leader. Raises NoServerTime and nats.errors.Error.

        Of several readings, the one with the shortest round trip counts.
        """
        reading = await self._read()
        for _ in range(MAX_READINGS - 1):
            if reading.round_trip_seconds <= EXACT_SECONDS:
                break
            reading = min(reading, await self._read(), key=lambda one: one.round_trip_seconds)
        if self._reading is None or reading.round_trip_seconds <= MAX_ROUND_TRIP_SECONDS:
            self._reading = reading
        self._compare()

    async def _read(self) -> Reading:
        return await retry_until_leader(lambda: read_server_time(self._client, self._monotonic))

    async def refresh(self) -> None:
        """Measures again and again until cancelled. After a failure the last reading stays in use."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.measure()
            except (NatsError, NoServerTime, TimeoutError, OSError, ValueError) as error:
                logger.warning("server_time_not_read", error=type(error).__name__)

    def _compare(self) -> None:
        difference = self._wall_clock() - self._real_now()
        CLOCK_DIFFERENCE_SECONDS.set(difference.total_seconds())
        is_wrong = abs(difference) > MAX_DIFFERENCE
        if is_wrong and not self._is_reported:
            logger.warning(
                "clock_differs",
                ahead_of_server_seconds=round(difference.total_seconds(), 3),
                advice="run NTP on this machine and on that of nats-server; decisions use the time of nats-server",
            )
        self._is_reported = is_wrong


@asynccontextmanager
async def running_clock(client: Client, mapping: TimeMapping = REAL_TIME) -> AsyncIterator[BusClock]:
    """Yields a clock that is measured now and every `REFRESH_SECONDS`."""
    clock = BusClock(client, mapping)
    await clock.measure()
    async with run_in_background(clock.refresh()):
        yield clock
