"""A provider that keeps failing is left alone, and tried again by one request at a time."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from providers import BREAKER_OPEN, NO_CAPACITY, Breaker, BreakerOpen, Provider, State, Unavailable
from providers.breakers import PROBE_SECONDS, Admission


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker(clock: Clock, failures: int = 2) -> Breaker:
    return Breaker(failures=failures, cool_down=10, clock=clock)


def state(one: Breaker) -> State:
    return one.state


def opened(clock: Clock) -> Breaker:
    found = breaker(clock)
    for _ in range(2):
        found.failed(found.admit())
    return found


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not(clock: Clock) -> None:
    one = breaker(clock)
    one.failed(one.admit())
    one.succeeded(one.admit())
    one.failed(one.admit())
    assert state(one) is State.CLOSED
    one.failed(one.admit())
    assert state(one) is State.OPEN


def test_how_long_nothing_may_leave_is_told_until_a_probe_may(clock: Clock) -> None:
    one = breaker(clock)
    assert one.rest == 0
    one = opened(clock)
    assert one.rest == 10
    clock.now += 4
    assert one.rest == 6
    clock.now += 6
    assert one.rest == 0
    probe = one.admit()
    assert one.rest == PROBE_SECONDS, "nobody knows: look again"
    one.abandoned(probe)
    assert one.rest == 0


def test_an_open_one_lets_nothing_through_until_it_has_cooled_down(clock: Clock) -> None:
    one = opened(clock)
    clock.now += 9.9
    with pytest.raises(BreakerOpen):
        one.admit()
    clock.now += 0.1
    assert state(one) is State.HALF_OPEN
    assert one.admit()


def test_a_half_open_one_lets_one_probe_through_at_a_time(clock: Clock) -> None:
    one = opened(clock)
    clock.now += 10
    one.admit()
    with pytest.raises(BreakerOpen):
        one.admit()


def test_the_probe_decides(clock: Clock) -> None:
    well, ill = opened(clock), opened(clock)
    clock.now += 10
    well.succeeded(well.admit())
    ill.failed(ill.admit())
    assert (state(well), state(ill)) == (State.CLOSED, State.OPEN)
    clock.now += 9.9
    assert state(ill) is State.OPEN, "it cools down anew"


def test_a_probe_that_nobody_waited_for_decides_nothing_and_makes_room_for_the_next(clock: Clock) -> None:
    one = opened(clock)
    clock.now += 10
    one.abandoned(one.admit())
    assert state(one) is State.HALF_OPEN
    one.succeeded(one.admit())
    assert state(one) is State.CLOSED


def test_an_answer_from_before_it_opened_changes_nothing(clock: Clock) -> None:
    one = breaker(clock)
    late = [one.admit() for _ in range(3)]
    for admission in (one.admit(), one.admit()):
        one.failed(admission)
    one.succeeded(late[0])
    assert state(one) is State.OPEN
    clock.now += 10
    probe = one.admit()
    one.failed(late[1])
    one.abandoned(late[2])
    assert state(one) is State.HALF_OPEN
    with pytest.raises(BreakerOpen):
        one.admit()
    one.succeeded(probe)
    assert state(one) is State.CLOSED


@given(st.lists(st.sampled_from(["admit", "succeed", "fail", "abandon", "wait"]), max_size=60))
def test_whatever_happens_a_provider_that_is_well_again_is_asked_again(steps: list[str]) -> None:
    clock = Clock()
    one, waiting = breaker(clock), list[Admission]()
    for step in steps:
        if step == "wait":
            clock.now += 10
        elif step == "admit":
            try:
                waiting.append(one.admit())
            except BreakerOpen:
                assert state(one) is not State.CLOSED
        elif waiting:
            settle = {"succeed": one.succeeded, "fail": one.failed, "abandon": one.abandoned}[step]
            settle(waiting.pop(0))
    for admission in waiting:
        one.abandoned(admission)
    clock.now += 10
    one.succeeded(one.admit())
    assert state(one) is State.CLOSED


def provider(name: str, *, places: int = 1, failures: int = 1) -> Provider:
    return Provider(name, places=asyncio.Semaphore(places), failures=failures, cool_down=60)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_request_that_fails_opens_the_breaker_and_all_of_it_is_counted() -> None:
    one = provider("failing")
    async with one.request(patience=1) as request:
        request.failed("server_error")
    with pytest.raises(Unavailable) as unavailable:
        async with one.request(patience=1):
            pytest.fail("it was sent")
    assert unavailable.value.outcome == BREAKER_OPEN
    counted = "centralita_provider_requests_total"
    assert value(counted, provider="failing", outcome="server_error") == 1
    assert value(counted, provider="failing", outcome=BREAKER_OPEN) == 1
    assert value("centralita_provider_seconds_count", provider="failing") == 1
    assert value("centralita_breaker_state", provider="failing") == State.OPEN
    assert value("centralita_breaker_transitions_total", provider="failing", state="open") == 1


@pytest.mark.parametrize("how", ["abandoned", "refused"])
async def test_a_request_that_was_left_or_was_wrong_itself_opens_nothing(how: str) -> None:
    one = provider(how)

    async def ask() -> None:
        async with one.request(patience=1) as request:
            if how == "refused":
                request.refused("refused")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await ask()
    assert one.breaker.state is State.CLOSED
    assert value("centralita_provider_requests_total", provider=how, outcome=how) == 1


async def test_who_gets_no_place_in_time_is_told_so_and_the_place_is_given_back() -> None:
    one = provider("busy")
    async with one.request(patience=1) as request:
        with pytest.raises(Unavailable) as unavailable:
            async with one.request(patience=0.01):
                pytest.fail("there was a place")
        request.succeeded()
    assert unavailable.value.outcome == NO_CAPACITY
    async with one.request(patience=0.01):
        pass


async def test_who_waited_for_a_place_while_the_breaker_opened_is_not_sent() -> None:
    one = provider("opening")

    async def wait_in_line() -> str:
        try:
            async with one.request(patience=5):
                return "sent"
        except Unavailable as unavailable:
            return unavailable.outcome

    async with one.request(patience=1) as request:
        waiting = asyncio.create_task(wait_in_line())
        await asyncio.sleep(0)
        request.failed("server_error")
    assert await waiting == BREAKER_OPEN
