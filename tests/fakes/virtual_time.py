"""An event loop whose clock jumps: a program that waits for days ends at once, and always in the same order."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs ready callbacks; when there are none, the clock jumps to the next timer. It serves no sockets."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Returns the virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Moves the clock."""
        self._now += seconds


class _Jump(selectors.SelectSelector):
    """Waits for nothing: moves the clock by the time that the loop would wait."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for an event that never comes")
        self._loop.jump(timeout)
        return []


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, and returns its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
