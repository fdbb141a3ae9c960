"""Circuit breakers, and requests to a provider behind one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from tests.fakes.clock import ManualClock
from tests.fakes.providers import provider

from providers import BreakerOpen, BreakerState, CircuitBreaker, Failure, Provider, RequestFailed
from providers.breakers import PROBE_POLL_SECONDS, Generation

COOLDOWN_SECONDS = 10.0
REQUESTS = "centralita_provider_requests_total"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def closed_breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(max_failures=2, cooldown_seconds=COOLDOWN_SECONDS, clock=clock)


def open_breaker(clock: ManualClock) -> CircuitBreaker:
    breaker = closed_breaker(clock)
    for _ in range(2):
        breaker.failed(breaker.begin())
    return breaker


def state(breaker: CircuitBreaker) -> BreakerState:
    """Returns the state; a call keeps mypy from narrowing the property's type between two assertions."""
    return breaker.state


def test_failures_in_a_row_open_the_breaker_and_a_success_between_them_resets_the_count(clock: ManualClock) -> None:
    breaker = closed_breaker(clock)
    breaker.failed(breaker.begin())
    breaker.succeeded(breaker.begin())
    breaker.failed(breaker.begin())
    assert state(breaker) is BreakerState.CLOSED
    breaker.failed(breaker.begin())
    assert state(breaker) is BreakerState.OPEN


def test_the_wait_is_the_rest_of_the_cooldown_and_then_the_poll_interval_of_a_probe(clock: ManualClock) -> None:
    assert closed_breaker(clock).wait_seconds == 0
    breaker = open_breaker(clock)
    assert breaker.wait_seconds == 10
    clock.now += 4
    assert breaker.wait_seconds == 6
    clock.now += 6
    assert breaker.wait_seconds == 0
    probe = breaker.begin()
    assert breaker.wait_seconds == PROBE_POLL_SECONDS, "the end of a probe cannot be predicted"
    breaker.abandoned(probe)
    assert breaker.wait_seconds == 0


def test_an_open_breaker_lets_no_request_begin_before_the_cooldown_is_over(clock: ManualClock) -> None:
    breaker = open_breaker(clock)
    clock.now += 9.9
    with pytest.raises(BreakerOpen):
        breaker.begin()
    clock.now += 0.1
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.begin()


def test_a_half_open_breaker_lets_one_probe_begin_at_a_time(clock: ManualClock) -> None:
    breaker = open_breaker(clock)
    clock.now += 10
    breaker.begin()
    with pytest.raises(BreakerOpen):
        breaker.begin()


def test_the_probe_closes_the_breaker_or_begins_a_new_cooldown(clock: ManualClock) -> None:
    recovered, failing = open_breaker(clock), open_breaker(clock)
    clock.now += 10
    recovered.succeeded(recovered.begin())
    failing.failed(failing.begin())
    assert (state(recovered), state(failing)) == (BreakerState.CLOSED, BreakerState.OPEN)
    clock.now += 9.9
    assert state(failing) is BreakerState.OPEN, "the cooldown begins anew"


def test_an_abandoned_probe_changes_nothing_and_makes_room_for_the_next(clock: ManualClock) -> None:
    breaker = open_breaker(clock)
    clock.now += 10
    breaker.abandoned(breaker.begin())
    assert state(breaker) is BreakerState.HALF_OPEN
    breaker.succeeded(breaker.begin())
    assert state(breaker) is BreakerState.CLOSED


def test_results_of_an_older_generation_change_nothing(clock: ManualClock) -> None:
    breaker = closed_breaker(clock)
    late = [breaker.begin() for _ in range(3)]
    for generation in (breaker.begin(), breaker.begin()):
        breaker.failed(generation)
    breaker.succeeded(late[0])
    assert state(breaker) is BreakerState.OPEN
    clock.now += 10
    probe = breaker.begin()
    breaker.failed(late[1])
    breaker.abandoned(late[2])
    assert state(breaker) is BreakerState.HALF_OPEN
    with pytest.raises(BreakerOpen):
        breaker.begin()
    breaker.succeeded(probe)
    assert state(breaker) is BreakerState.CLOSED


@given(st.lists(st.sampled_from(["begin", "succeed", "fail", "abandon", "wait"]), max_size=60))
def test_after_any_history_a_working_provider_closes_the_breaker(actions: list[str]) -> None:
    clock = ManualClock()
    breaker, in_progress = closed_breaker(clock), list[Generation]()
    for action in actions:
        if action == "wait":
            clock.now += COOLDOWN_SECONDS
        elif action == "begin":
            try:
                in_progress.append(breaker.begin())
            except BreakerOpen:
                assert state(breaker) is not BreakerState.CLOSED
        elif in_progress:
            record = {"succeed": breaker.succeeded, "fail": breaker.failed, "abandon": breaker.abandoned}[action]
            record(in_progress.pop(0))
    for generation in in_progress:
        breaker.abandoned(generation)
    clock.now += COOLDOWN_SECONDS
    breaker.succeeded(breaker.begin())
    assert state(breaker) is BreakerState.CLOSED


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def send(provider: Provider, outcome: BaseException | None = None) -> None:
    """Sends one request that ends as `outcome`: an exception, or success."""
    async with provider.request(max_wait_seconds=1):
        if outcome:
            raise outcome


async def test_a_failed_request_opens_the_breaker_and_every_request_is_counted() -> None:
    failing = provider("failing", max_failures=1)
    with pytest.raises(RequestFailed):
        await send(failing, RequestFailed(Failure.SERVER_ERROR))
    with pytest.raises(RequestFailed) as not_sent:
        await send(failing)
    assert not_sent.value.failure is Failure.BREAKER_OPEN
    assert value(REQUESTS, provider="failing", outcome="server_error") == 1
    assert value(REQUESTS, provider="failing", outcome="breaker_open") == 1
    assert value("centralita_provider_seconds_count", provider="failing") == 1
    assert value("centralita_breaker_state", provider="failing") == BreakerState.OPEN
    assert value("centralita_breaker_transitions_total", provider="failing", state="open") == 1


async def test_an_adapter_can_record_a_failure_without_an_exception() -> None:
    recording = provider("recording", max_failures=1)
    async with recording.request(max_wait_seconds=1) as request:
        request.failed(Failure.SERVER_ERROR)
    assert recording.breaker.state is BreakerState.OPEN
    assert value(REQUESTS, provider="recording", outcome="server_error") == 1


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        (RuntimeError(), "abandoned"),
        (asyncio.CancelledError(), "abandoned"),
        (RequestFailed(Failure.REFUSED), "refused"),
        (RequestFailed(Failure.TOO_LONG), "too_long"),
    ],
)
async def test_an_abandoned_or_refused_request_does_not_open_the_breaker(outcome: BaseException, label: str) -> None:
    refusing = provider(f"refusing_{label}", max_failures=1)
    before = value(REQUESTS, provider=refusing.name, outcome=label)
    with pytest.raises(type(outcome)):
        await send(refusing, outcome)
    assert refusing.breaker.state is BreakerState.CLOSED
    assert value(REQUESTS, provider=refusing.name, outcome=label) == before + 1


async def test_a_request_without_capacity_in_time_fails_and_capacity_is_released_at_the_end() -> None:
    busy = provider("busy", capacity=1, max_failures=1)
    async with busy.request(max_wait_seconds=1):
        with pytest.raises(RequestFailed) as not_sent:
            async with busy.request(max_wait_seconds=0.01):
                pytest.fail("there was capacity")
    assert not_sent.value.failure is Failure.NO_CAPACITY
    async with busy.request(max_wait_seconds=0.01):
        pass


async def test_a_request_that_waited_for_capacity_while_the_breaker_opened_is_not_sent() -> None:
    opening = provider("opening", capacity=1, max_failures=1)
    async with opening.request(max_wait_seconds=1) as request:
        waiting = asyncio.create_task(send(opening))
        await asyncio.sleep(0)
        request.failed(Failure.SERVER_ERROR)
    with pytest.raises(RequestFailed) as not_sent:
        await waiting
    assert not_sent.value.failure is Failure.BREAKER_OPEN


async def pieces(failure: Failure | None = None) -> AsyncGenerator[str, None]:
    yield "one"
    yield "two"
    if failure:
        raise RequestFailed(failure)


def in_one_second() -> float:
    return asyncio.get_running_loop().time() + 1


async def test_a_stream_is_one_request_that_succeeds_at_its_end() -> None:
    streaming = provider("streaming")
    assert [piece async for piece in streaming.stream(pieces(), first_by=in_one_second())] == ["one", "two"]
    assert value(REQUESTS, provider="streaming", outcome="succeeded") == 1


async def test_a_stream_that_breaks_off_is_a_failure_of_the_provider() -> None:
    breaking = provider("breaking", max_failures=1)
    with pytest.raises(RequestFailed):
        _ = [piece async for piece in breaking.stream(pieces(Failure.CUT_OFF), first_by=in_one_second())]
    assert breaking.breaker.state is BreakerState.OPEN


async def test_a_stream_that_its_reader_closes_is_abandoned_and_releases_capacity() -> None:
    closing = provider("closing", capacity=1, max_failures=1)
    async with aclosing(closing.stream(pieces(), first_by=in_one_second())) as stream:
        assert await anext(stream) == "one"
    assert value(REQUESTS, provider="closing", outcome="abandoned") == 1
    assert [piece async for piece in closing.stream(pieces(), first_by=in_one_second())] == ["one", "two"]
