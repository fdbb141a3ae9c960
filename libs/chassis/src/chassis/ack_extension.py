"""Telling the server that a message is being handled, for as long as its handler waits for its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from contracts.streams import Consumer

_PER_ACK_WAIT = 3
"""How often within `Consumer.ack_wait` the server hears of us: two of the messages may be lost."""


@asynccontextmanager
async def extend_ack_deadline(message: Msg, consumer: Consumer) -> AsyncIterator[None]:
    """Keeps the server from giving the message to another replica while the block runs, if `consumer` is patient.

    A replica that dies falls silent, so its message goes to another after `Consumer.ack_wait` all the same.
    """
    if not consumer.patient:
        yield
        return
    reporting = asyncio.create_task(_report(message, consumer.ack_wait / _PER_ACK_WAIT))
    try:
        yield
    finally:
        reporting.cancel()


async def _report(message: Msg, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        with suppress(NatsError):  # without a connection the server hears nothing and gives it to another
            await message.in_progress()
