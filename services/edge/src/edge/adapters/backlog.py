"""The backlog: calls that wait for a slot, and requests that are not decided yet, as nats-server counts them."""

import asyncio
import time
from collections.abc import Callable

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from contracts.consumers import ORCHESTRATOR_REQUESTS
from contracts.streams import QUEUE, REQUESTS
from edge.ports import BacklogFull

READ_SECONDS = 1.0
"""The backlog is read at most this often, however many requests arrive."""


class NatsBacklog:
    """Implements `edge.ports.Backlog`. If the server does not answer, the last reading counts."""

    def __init__(self, client: Client, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._limit = limit
        self._monotonic = monotonic
        self._reading = asyncio.Lock()
        self._read_at: float | None = None
        self._count = 0

    async def check(self) -> None:
        """Raises BacklogFull if the limit is reached."""
        async with self._reading:
            now = self._monotonic()
            if self._read_at is None or now >= self._read_at + READ_SECONDS:
                self._read_at = now
                await self._read()
        if self._count >= self._limit:
            raise BacklogFull(f"the limit of {self._limit} waiting calls and requests is reached (MAX_BACKLOG)")

    async def _read(self) -> None:
        try:
            queue, undecided = await asyncio.gather(
                self._js.stream_info(QUEUE.name), self._js.consumer_info(REQUESTS.name, ORCHESTRATOR_REQUESTS.name)
            )
        except (NatsError, TimeoutError, OSError):
            return
        self._count = queue.state.messages + (undecided.num_pending or 0) + (undecided.num_ack_pending or 0)
