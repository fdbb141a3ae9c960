"""Interruptions of replies, as soon as they are stored. A hint: one that is lost costs some tokens of a model."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.stream_scan import subscribed
from contracts import InvalidMessage, SpeechInterrupted, decode
from contracts.filters import INTERRUPTION_FILTERS
from contracts.personal import without_keys
from contracts.streams import CALLS

logger = structlog.get_logger()


@asynccontextmanager
async def following_interruptions(
    client: Client, on_interrupted: Callable[[SpeechInterrupted], None]
) -> AsyncIterator[None]:
    """Calls `on_interrupted` with each interruption of any call while the block runs. What was heard stays sealed."""

    async def receive(message: Msg) -> None:
        subject = message.subject.removeprefix(CALLS.live(""))
        try:
            event = decode(subject, message.data, without_keys(message.headers))
        except InvalidMessage as error:
            logger.warning("interruption_unreadable", reason=str(error))
            return
        if isinstance(event, SpeechInterrupted):
            on_interrupted(event)

    async with AsyncExitStack() as stack:
        for filter in INTERRUPTION_FILTERS:
            await stack.enter_async_context(subscribed(client, CALLS.live(filter), receive))
        yield
