"""Connections to the model before they are needed: when the process starts, and when a call is answered.

The first request of a process costs twice the CPU of others, and like the first one after a minute a TLS handshake.
The callee listens to the greeting first, so neither is in the way of a reply.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.background import cancel_all
from chassis.stream_scan import subscribed
from contracts.filters import ANSWERED_CALL_FILTERS
from contracts.streams import CALLS

WarmUp = Callable[[], Awaitable[None]]
"""Opens a connection, unless there is one. Never raises."""


@asynccontextmanager
async def warm_connections(client: Client, warm_ups: Sequence[WarmUp]) -> AsyncIterator[None]:
    """Calls each of `warm_ups` now, and the first one when a call is answered, while the block runs.

    The first one is that of the model which answers; the others are its fallbacks. A message that is lost costs time.
    """
    running: set[asyncio.Task[None]] = set()

    def begin(warm_up: WarmUp) -> None:
        task = asyncio.ensure_future(warm_up())
        running.add(task)
        task.add_done_callback(running.discard)

    async def on_answered(_: Msg) -> None:
        begin(warm_ups[0])

    for warm_up in warm_ups:
        begin(warm_up)
    async with AsyncExitStack() as stack:
        for filter in ANSWERED_CALL_FILTERS:
            await stack.enter_async_context(subscribed(client, CALLS.live(filter), on_answered))
        try:
            yield
        finally:
            await cancel_all(running)
