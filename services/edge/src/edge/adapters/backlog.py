"""The backlog: calls that wait for a slot, and requests that are not decided yet, as nats-server counts them.

The calls of paused campaigns are among those that wait, and only the orchestrator can tell them apart. So a full queue
alone refuses nothing here: a few requests at a time go to the orchestrator, whose outcome then comes before the REST
client is answered. What this limit prevents is a REQUESTS that grows, and a 202 for a request that is refused later.
"""

import asyncio
import time
from collections.abc import Callable

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.stream_api import jetstream_of
from contracts.consumers import ORCHESTRATOR_REQUESTS
from contracts.streams import QUEUE, REQUESTS
from edge.ports import BacklogFull

READ_SECONDS = 1.0
"""The backlog is read at most this often, however many requests arrive."""
MAX_UNDECIDED_WHEN_FULL = 100
"""Undecided requests while the queue is full: less than the orchestrator decides within a second."""


class NatsBacklog:
    """Implements `edge.ports.Backlog`. If the server does not answer, the last reading counts."""

    def __init__(self, client: Client, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queue = jetstream_of(client, QUEUE.name)
        self._requests = jetstream_of(client, REQUESTS.name)
        self._limit = limit
        self._monotonic = monotonic
        self._reading = asyncio.Lock()
        self._read_at: float | None = None
        self._queued = 0
        self._undecided = 0

    async def check(self, count: int = 1) -> None:
        """Raises BacklogFull if the limit is reached. Otherwise `count` requests are undecided until the next reading.

        So one reading lets through no more than the limit, in each replica of this service.
        """
        async with self._reading:
            now = self._monotonic()
            if self._read_at is None or now >= self._read_at + READ_SECONDS:
                self._read_at = now
                await self._read()
        is_full = self._queued + self._undecided >= self._limit
        if is_full and self._undecided >= min(MAX_UNDECIDED_WHEN_FULL, self._limit):
            raise BacklogFull(f"the limit of {self._limit} waiting calls and requests is reached (MAX_BACKLOG)")
        self._undecided += count

    async def _read(self) -> None:
        try:
            queue, undecided = await asyncio.gather(
                self._queue.stream_info(QUEUE.name),
                self._requests.consumer_info(REQUESTS.name, ORCHESTRATOR_REQUESTS.name),
            )
        except (NatsError, TimeoutError, OSError):
            return
        self._queued = queue.state.messages
        self._undecided = (undecided.num_pending or 0) + (undecided.num_ack_pending or 0)
