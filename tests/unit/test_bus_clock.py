"""The server's time: read from its replies, and kept with the monotonic clock in between."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.fakes.clock import ManualClock

from chassis.bus_clock import BusClock, NoServerTime
from chassis.metrics import CLOCK_DIFFERENCE_SECONDS
from contracts.accounts import api_subject
from contracts.streams import SCHEDULES

SERVER_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Server:
    """Answers with its time in the middle of a round trip; an exception in `failure` is raised instead."""

    def __init__(self, monotonic: ManualClock) -> None:
        self.monotonic = monotonic
        self.started = monotonic.now
        self.round_trip_seconds = 0.2
        self.ahead = timedelta()
        self.failure: Exception | None = None
        self.requests = 0

    @property
    def at(self) -> datetime:
        return SERVER_AT + timedelta(seconds=self.monotonic.now - self.started) + self.ahead

    async def request(self, subject: str, **_: Any) -> SimpleNamespace:
        assert subject == api_subject("STREAM.INFO", SCHEDULES.name)
        if self.failure:
            raise self.failure
        self.requests += 1
        self.monotonic.now += self.round_trip_seconds / 2
        reply = {"ts": self.at.isoformat()}
        self.monotonic.now += self.round_trip_seconds / 2
        return SimpleNamespace(data=json.dumps(reply).encode())


@pytest.fixture
def monotonic() -> ManualClock:
    """A monotonic clock that the test moves."""
    return ManualClock()


@pytest.fixture
def server(monotonic: ManualClock) -> Server:
    """A server whose time begins at `SERVER_AT`."""
    return Server(monotonic)


def clock_of(server: Server, *, wall_ahead: timedelta = timedelta()) -> BusClock:
    return BusClock(server, monotonic=server.monotonic, wall_clock=lambda: server.at + wall_ahead)  # type: ignore[arg-type]


@pytest.mark.parametrize("wall_ahead", [HOUR, -HOUR])
async def test_a_wrong_wall_clock_changes_nothing_and_is_reported(server: Server, wall_ahead: timedelta) -> None:
    clock = clock_of(server, wall_ahead=wall_ahead)
    await clock.measure()
    for _ in range(3):
        server.monotonic.now += 20
        assert clock.now() == server.at
    assert CLOCK_DIFFERENCE_SECONDS._value.get() == wall_ahead.total_seconds()


async def test_the_last_reading_stays_in_use_after_a_failure(server: Server) -> None:
    clock = clock_of(server)
    await clock.measure()
    server.failure = NoServerTime("an old server")
    with pytest.raises(NoServerTime):
        await clock.measure()
    server.monotonic.now += 600
    assert clock.now() == server.at


async def test_a_new_reading_follows_the_time_of_the_server(server: Server) -> None:
    clock = clock_of(server)
    await clock.measure()
    server.ahead = timedelta(seconds=30)  # NTP has set the server's clock
    await clock.measure()
    assert clock.now() == server.at


async def test_a_reading_with_a_slow_round_trip_does_not_replace_a_better_one(server: Server) -> None:
    clock = clock_of(server)
    await clock.measure()
    server.round_trip_seconds, server.ahead = 3.0, timedelta(seconds=1)
    await clock.measure()
    assert clock.now() == server.at - timedelta(seconds=1)


@pytest.mark.parametrize(("round_trips", "requests"), [((0.02,), 1), ((1.5, 0.8, 0.03), 3), ((1.0,) * 5, 5)])
async def test_a_reading_with_a_slow_round_trip_is_repeated(
    server: Server, round_trips: tuple[float, ...], requests: int
) -> None:
    """The whole delay of each but the last one is on the way to the server, so those are wrong by half of it."""
    request, slow = server.request, list(round_trips)

    async def delayed(subject: str, **given: Any) -> SimpleNamespace:
        server.round_trip_seconds = slow.pop(0)
        if slow:
            server.monotonic.now += server.round_trip_seconds
            server.round_trip_seconds = 0.0
        return await request(subject, **given)

    server.request = delayed  # type: ignore[method-assign]
    clock = clock_of(server)
    await clock.measure()
    assert server.requests == requests
    if round_trips[-1] < 0.1:
        assert clock.now() == server.at
