"""What is asked to be spoken in one call, from the log: one ordered consumer for what was and what comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from chassis.log import Recorded
from chassis.subscriptions import recorded
from contracts import AudioRequested, InvalidMessage, ReplyGenerated
from contracts.streams import CALLS

LEFT_AFTER_SECONDS = 5.0
"""The server removes a consumer that nobody has listened to for so long; unsubscribing is all that is needed."""


class LoggedFacts:
    """The port `SpokenFacts`."""

    def __init__(self, client: Client) -> None:
        self._js = client.jetstream()

    @asynccontextmanager
    async def follow(self, call_id: UUID) -> AsyncIterator[AsyncIterator[Recorded]]:
        """An ephemeral consumer in memory, gone with the subscription."""
        filters = [f"{event.fact}.{call_id}" for event in (AudioRequested, ReplyGenerated)]
        subscription = await self._js.subscribe(
            "",
            stream=CALLS.name,
            ordered_consumer=True,
            config=ConsumerConfig(filter_subjects=filters, inactive_threshold=LEFT_AFTER_SECONDS),
        )
        try:
            yield _events(subscription)
        finally:
            with suppress(NatsError):  # the connection may be what ended it
                await subscription.unsubscribe()


async def _events(subscription: JetStreamContext.PushSubscription) -> AsyncIterator[Recorded]:
    while True:
        message = await subscription.next_msg(timeout=None)
        with suppress(InvalidMessage):  # its durable consumers make a dead letter of it
            yield recorded(message)
