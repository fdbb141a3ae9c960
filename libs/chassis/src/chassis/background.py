"""Work that goes on beside a service's subscribers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

_PATIENCE_SECONDS = 0.5


@asynccontextmanager
async def run_in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs `work`, which never ends by itself, until the block is left; what it raised is raised there.

    It is cancelled until it ends: on a connection that is closed, nats-py turns a cancellation into its own error.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_PATIENCE_SECONDS)
    if not task.cancelled():
        task.result()
