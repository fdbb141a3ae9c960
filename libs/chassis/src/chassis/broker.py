"""FastStream's broker, extended by the durable consumers of a service.

FastStream connects, answers requests, and stops. It does not consume events: each message would pass through an anyio
task group and stream, two semaphores, three middlewares and several context scopes, which costs five times as much as
all else of a delivery (ADR 19). A consumer is therefore a subscription of nats-py, and each message one task.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import structlog
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from chassis.delivery import ConsumerDelivery
from chassis.keyring import Keyring
from chassis.sealed_copies import RequestSealer
from contracts.consumers import Consumer

GRACEFUL_SECONDS = 10.0
"""How long a broker that stops waits for the handlers that are running."""

logger = structlog.get_logger()


class Broker(NatsBroker):
    """The broker of one service.

    `keyring`: opens the personal fields of what it consumes, if the service has keys. `request_sealer`: seals requests
    that become dead letters, in the service that decides requests.
    """

    keyring: Keyring | None = None
    request_sealer: RequestSealer | None = None

    _consumptions: "tuple[_Consumption, ...]" = ()

    def consume(self, consumer: Consumer, delivery: Callable[[Client], ConsumerDelivery]) -> None:
        """Consumes a durable consumer from the start of the broker on."""
        self._consumptions += (_Consumption(consumer, delivery),)

    async def start(self) -> None:
        """Starts the subscribers and the consumers."""
        await super().start()
        client = await self.connect()
        for consumption in self._consumptions:
            await consumption.start(client)

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Waits for running handlers, for `GRACEFUL_SECONDS` at most, and drains the connection.

        Messages that no handler has begun are returned to the server, which delivers them to another replica at once.
        The message of a canceled handler is delivered again after its ``ack_wait``.
        """
        await asyncio.gather(*(consumption.stop() for consumption in self._consumptions))
        await super().stop(exc_type, exc_val, exc_tb)


class _Consumption:
    """Receives the messages of one consumer, and handles up to ``consumer.workers`` of them at a time."""

    def __init__(self, consumer: Consumer, delivery: Callable[[Client], ConsumerDelivery]) -> None:
        self._consumer = consumer
        self._make_delivery = delivery
        self._free_workers = asyncio.Semaphore(consumer.workers)
        self._running: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None
        self._is_stopping = False
        self._client: Client | None = None

    async def start(self, client: Client) -> None:
        self._client = client
        delivery = self._make_delivery(client)

        async def receive(message: Msg) -> None:
            await self._free_workers.acquire()
            if self._is_stopping:
                self._free_workers.release()
                await message.nak()
                return
            task = asyncio.create_task(delivery.deliver(message))
            self._running.add(task)
            task.add_done_callback(self._on_done)

        to = self._consumer
        self._subscription = await client.subscribe(to.deliver_subject, queue=to.name, cb=receive)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free_workers.release()
        if not task.cancelled() and (error := task.exception()):
            logger.error("delivery_failed", consumer=self._consumer.name, exc_info=error)

    async def stop(self) -> None:
        self._is_stopping = True
        returned = asyncio.create_task(self._return_waiting())
        if running := set(self._running):
            await asyncio.wait(running, timeout=GRACEFUL_SECONDS)
        for task in list(self._running):
            task.cancel()
        await returned

    async def _return_waiting(self) -> None:
        """Ends the subscription, after its last messages have arrived and `receive` has returned them."""
        subscription, self._subscription = self._subscription, None
        if subscription and self._client and self._client.is_connected:
            with suppress(NatsError, TimeoutError):
                async with asyncio.timeout(2 * GRACEFUL_SECONDS):
                    await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py gives no return type
