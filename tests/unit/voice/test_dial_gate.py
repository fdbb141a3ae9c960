"""Dial orders wait while the circuit breaker is open, and then one tries before all others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from providers import BreakerState, CircuitBreaker
from voice.application.telephony.dial_gate import DialGate, ServiceStopping

COOL_DOWN = 0.05


@dataclass
class Orders:
    """Dial orders that pass a gate. Each stays in its block until the test ends it with an outcome."""

    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker(max_failures=1, cooldown_seconds=COOL_DOWN))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    inside: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _outcomes: dict[str, asyncio.Future[Callable[[CircuitBreaker], None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._gate = DialGate(self.breaker, self.stopping)

    def start(self, *names: str) -> None:
        for name in names:
            self._outcomes[name] = asyncio.get_running_loop().create_future()
            self._tasks[name] = asyncio.create_task(self._order(name))

    async def _order(self, name: str) -> None:
        async with self._gate.enter():
            self.inside.append(name)
            (await self._outcomes[name])(self.breaker)
        self.inside.remove(name)
        self.done.append(name)

    async def end(self, name: str, outcome: Callable[[CircuitBreaker], None]) -> None:
        self._outcomes[name].set_result(outcome)
        await self._tasks[name]

    async def wait_until_inside(self, *names: str) -> None:
        async with asyncio.timeout(60):
            while self.inside != list(names):
                await asyncio.sleep(0.001)

    async def result_of(self, name: str) -> BaseException | None:
        (result,) = await asyncio.gather(self._tasks[name], return_exceptions=True)
        return result

    def cancel(self, name: str) -> None:
        self._tasks[name].cancel()

    async def aclose(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def succeed(breaker: CircuitBreaker) -> None:
    breaker.succeeded(breaker.begin())


def fail(breaker: CircuitBreaker) -> None:
    breaker.failed(breaker.begin())


def waiting_count() -> float | None:
    return REGISTRY.get_sample_value("centralita_held_dials")


def send_nothing(_: CircuitBreaker) -> None:
    """The outcome of an order that sent no request."""


@pytest.fixture
async def orders() -> AsyncIterator[Orders]:
    orders = Orders()
    yield orders
    await orders.aclose()


async def test_all_orders_pass_a_closed_breaker_at_once(orders: Orders) -> None:
    orders.start("a", "b", "c")
    await orders.wait_until_inside("a", "b", "c")


async def test_after_the_cool_down_one_order_tries_and_the_others_follow_its_success(orders: Orders) -> None:
    fail(orders.breaker)
    orders.start("a", "b", "c")
    await orders.wait_until_inside("a")
    assert orders.breaker.state is BreakerState.HALF_OPEN, "the cool-down is over"
    assert waiting_count() == 3
    await orders.end("a", succeed)
    await orders.wait_until_inside("b", "c")
    assert waiting_count() == 0


async def test_after_a_failed_try_the_next_order_tries(orders: Orders) -> None:
    fail(orders.breaker)
    orders.start("a", "b", "c")
    for name in ("a", "b"):
        await orders.wait_until_inside(name)
        await orders.end(name, fail)
    await orders.wait_until_inside("c")
    assert orders.done == ["a", "b"]


async def test_an_order_that_sends_nothing_leaves_the_try_to_the_next(orders: Orders) -> None:
    fail(orders.breaker)
    orders.start("a", "b")
    await orders.wait_until_inside("a")
    await orders.end("a", send_nothing)
    await orders.wait_until_inside("b")


async def test_a_canceled_waiting_order_does_not_block_the_others(orders: Orders) -> None:
    fail(orders.breaker)
    orders.start("a", "b", "c")
    await asyncio.sleep(0)
    orders.cancel("a")
    orders.cancel("b")
    await orders.wait_until_inside("c")


async def test_waiting_orders_are_released_at_once_when_the_process_stops() -> None:
    orders = Orders(CircuitBreaker(max_failures=1, cooldown_seconds=3600))
    fail(orders.breaker)
    orders.start("a", "b")
    await asyncio.sleep(0)
    orders.stopping.set()
    assert [type(await orders.result_of(name)) for name in ("a", "b")] == [ServiceStopping, ServiceStopping]
    assert orders.inside == []


async def test_orders_wait_for_a_request_of_another_kind_that_is_the_probe(orders: Orders) -> None:
    fail(orders.breaker)
    await asyncio.sleep(COOL_DOWN)
    hang_up = orders.breaker.begin()
    orders.start("a", "b")
    await asyncio.sleep(0)
    assert orders.inside == []
    orders.breaker.succeeded(hang_up)
    await orders.wait_until_inside("a", "b")


async def test_the_gate_logs_once_that_it_blocks_and_once_that_it_is_open_again(orders: Orders) -> None:
    with capture_logs() as lines:
        fail(orders.breaker)
        orders.start("a", "b")
        await orders.wait_until_inside("a")
        await orders.end("a", succeed)
        await orders.wait_until_inside("b")
    assert [line["event"] for line in lines] == ["dials_blocked", "dials_unblocked"]
