"""Replies of live conversations, as soon as they were played: the callee has the word, and the next turn is near.

A hint: one that is lost costs a turn the time of its reads.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.background import cancel_all
from chassis.direct_get import stored_message
from chassis.stream_scan import subscribed
from contracts import InvalidMessage, SpeechPlayed, decode
from contracts.filters import PLAYED_FILTERS
from contracts.personal import without_keys
from contracts.streams import CALLS

MAX_IN_PROGRESS = 64
"""How many hints are handled at a time; others are dropped, because the process is busy."""

logger = structlog.get_logger()

OnPlayed = Callable[[SpeechPlayed, int], Awaitable[None]]
"""Takes the event and its sequence. Never raises."""


@asynccontextmanager
async def following_played_replies(client: Client, on_played: OnPlayed) -> AsyncIterator[None]:
    """Calls `on_played` for each reply of any call that was played while the block runs."""
    running: set[asyncio.Task[None]] = set()

    async def receive(message: Msg) -> None:
        try:
            stored = stored_message(message)
            event = decode(stored.subject, stored.data, without_keys(stored.headers))
        except (InvalidMessage, ValueError) as error:
            logger.warning("played_reply_unreadable", reason=type(error).__name__)
            return
        if isinstance(event, SpeechPlayed) and len(running) < MAX_IN_PROGRESS:
            task = asyncio.ensure_future(on_played(event, stored.seq))
            running.add(task)
            task.add_done_callback(running.discard)

    async with AsyncExitStack() as stack:
        for filter in PLAYED_FILTERS:
            await stack.enter_async_context(subscribed(client, CALLS.live(filter), receive))
        try:
            yield
        finally:
            await cancel_all(running)
