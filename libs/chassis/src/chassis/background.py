"""A task that runs beside a service's subscribers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager

_CANCEL_INTERVAL_SECONDS = 0.5


@asynccontextmanager
async def run_in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs `work`, which does not end by itself, while the block runs; then raises what `work` raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancel_until_done(task)
    if not task.cancelled():
        task.result()


async def cancel_until_done(task: asyncio.Task[None]) -> None:
    """Cancels the task repeatedly until it ends, because a single cancellation may be lost.

    On a closed connection nats-py turns a cancellation into its own error. Before Python 3.12 `asyncio.wait_for` can
    swallow it (cpython gh-86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_INTERVAL_SECONDS)


async def cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels the tasks together, as `cancel_until_done` does each of them."""
    await asyncio.gather(*(cancel_until_done(task) for task in tasks))
