"""Extending the ack deadline of a message while its handler runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from contracts.consumers import Consumer

_EXTENSIONS_PER_ACK_WAIT = 3
"""Two of three may be lost before the server delivers the message to another replica."""


@asynccontextmanager
async def extend_ack_deadline(message: Msg, consumer: Consumer) -> AsyncIterator[None]:
    """While the block runs, keeps the server from redelivering the message, if the consumer `extends_ack_deadline`.

    The message of a process that dies is redelivered after `Consumer.ack_wait`.
    """
    if not consumer.extends_ack_deadline:
        yield
        return
    extending = asyncio.create_task(_extend(message, consumer.ack_wait / _EXTENSIONS_PER_ACK_WAIT))
    try:
        yield
    finally:
        extending.cancel()


async def _extend(message: Msg, interval_seconds: float) -> None:
    while True:
        await asyncio.sleep(interval_seconds)
        with suppress(NatsError):  # without a connection the server redelivers the message
            await message.in_progress()
