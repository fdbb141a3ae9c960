"""Orders wait while the provider is being left alone, and then one tries before all others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from providers import BreakerState, CircuitBreaker
from voice.application.telephony.dial_gate import DialGate, Stopping

COOL_DOWN = 0.05


@dataclass
class Orders:
    """Some orders, each of which stays in its turn until it is told how its request ended."""

    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker(max_failures=1, cooldown_seconds=COOL_DOWN))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    inside: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _ends: dict[str, asyncio.Future[Callable[[CircuitBreaker], None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hold = DialGate(self.breaker, self.stopping)

    def come(self, *names: str) -> None:
        for name in names:
            self._ends[name] = asyncio.get_running_loop().create_future()
            self._tasks[name] = asyncio.create_task(self._order(name))

    async def _order(self, name: str) -> None:
        async with self._hold.turn():
            self.inside.append(name)
            (await self._ends[name])(self.breaker)
        self.inside.remove(name)
        self.done.append(name)

    async def end(self, name: str, how: Callable[[CircuitBreaker], None]) -> None:
        self._ends[name].set_result(how)
        await self._tasks[name]

    async def until_inside(self, *names: str) -> None:
        async with asyncio.timeout(5):
            while self.inside != list(names):
                await asyncio.sleep(0.001)

    async def give_up(self, name: str) -> BaseException | None:
        (result,) = await asyncio.gather(self._tasks[name], return_exceptions=True)
        return result

    def leave(self, name: str) -> None:
        self._tasks[name].cancel()

    async def aclose(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def answered(breaker: CircuitBreaker) -> None:
    breaker.succeeded(breaker.begin())


def failed(breaker: CircuitBreaker) -> None:
    breaker.failed(breaker.begin())


def held() -> float | None:
    return REGISTRY.get_sample_value("centralita_held_dials")


def called_off(_: CircuitBreaker) -> None:
    """No request was sent."""


@pytest.fixture
async def orders() -> AsyncIterator[Orders]:
    found = Orders()
    yield found
    await found.aclose()


async def test_a_provider_that_is_well_is_asked_by_all_at_once(orders: Orders) -> None:
    orders.come("a", "b", "c")
    await orders.until_inside("a", "b", "c")


async def test_one_order_tries_and_the_others_follow_when_it_was_answered(orders: Orders) -> None:
    failed(orders.breaker)
    orders.come("a", "b", "c")
    await orders.until_inside("a")
    assert orders.breaker.state is BreakerState.HALF_OPEN, "it has been left alone"
    assert held() == 3
    await orders.end("a", answered)
    await orders.until_inside("b", "c")
    assert held() == 0


async def test_a_try_that_fails_is_followed_by_that_of_the_next_order(orders: Orders) -> None:
    failed(orders.breaker)
    orders.come("a", "b", "c")
    for name in ("a", "b"):
        await orders.until_inside(name)
        await orders.end(name, failed)
    await orders.until_inside("c")
    assert orders.done == ["a", "b"]


async def test_an_order_that_is_called_off_in_its_turn_leaves_the_try_to_the_next(orders: Orders) -> None:
    failed(orders.breaker)
    orders.come("a", "b")
    await orders.until_inside("a")
    await orders.end("a", called_off)
    await orders.until_inside("b")


async def test_an_order_that_leaves_while_it_waits_holds_up_nobody(orders: Orders) -> None:
    failed(orders.breaker)
    orders.come("a", "b", "c")
    await asyncio.sleep(0)
    orders.leave("a")
    orders.leave("b")
    await orders.until_inside("c")


async def test_when_the_process_ends_orders_that_wait_go_elsewhere_at_once() -> None:
    orders = Orders(CircuitBreaker(max_failures=1, cooldown_seconds=3600))
    failed(orders.breaker)
    orders.come("a", "b")
    await asyncio.sleep(0)
    orders.stopping.set()
    assert [type(await orders.give_up(name)) for name in ("a", "b")] == [Stopping, Stopping]
    assert orders.inside == []


async def test_somebody_elses_try_is_waited_for(orders: Orders) -> None:
    failed(orders.breaker)
    await asyncio.sleep(COOL_DOWN)
    hang_up = orders.breaker.begin()
    orders.come("a", "b")
    await asyncio.sleep(0)
    assert orders.inside == []
    orders.breaker.succeeded(hang_up)
    await orders.until_inside("a", "b")
