"""The states of numbers in the stream ``NUMBERS``."""

import asyncio

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.direct_get import get_page
from chassis.event_log import EventLog
from chassis.stream_api import jetstream_of
from contracts import NumberChanged, NumberState
from contracts.consumers import ORCHESTRATOR_NUMBERS
from contracts.streams import NUMBERS, REQUESTS
from edge.adapters.nats import translate_errors
from edge.ports import NumberPage

SETTLE_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_FAILURE = "the do-not-call lists could not be read"


class NatsNumbers:
    """Implements `edge.ports.Numbers`."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._js = jetstream_of(client, REQUESTS.name)
        self._log = log

    async def get(self, number_digest: str) -> NumberState:
        """Returns the state of a number; one without entries if there is none. Raises Unavailable."""
        async with translate_errors(self._client, _FAILURE):
            stored = await self._log.last(NumberChanged.subject_for(number_digest))
        if stored and isinstance(stored.event, NumberChanged):
            return stored.event.number
        return NumberState(number_digest=number_digest)

    async def page(self, *, after_sequence: int, limit: int) -> NumberPage:
        """Returns up to `limit` states after a sequence. Raises Unavailable.

        The filter matches every subject of the stream, so that a page costs the same at any sequence.
        """
        async with translate_errors(self._client, _FAILURE):
            page = await get_page(self._client, NUMBERS.name, ">", start_sequence=after_sequence + 1, limit=limit)
            events = [stored.event for stored in await self._log.decode_all(page.messages)]
        last = page.messages[-1].seq if page.messages else after_sequence
        return NumberPage([one.number for one in events if isinstance(one, NumberChanged)], last, page.has_more)

    async def is_settled(self) -> bool:
        """Whether the consumer of commands for lists acknowledges all of them within `SETTLE_SECONDS`.

        An acknowledgement arrives some time after the outcome of its command. False without an answer.
        """
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while True:
                    if await self._is_settled_now():
                        return True
                    await asyncio.sleep(_LOOK_SECONDS)
        except (NatsError, TimeoutError, OSError):
            return False

    async def _is_settled_now(self) -> bool:
        info = await self._js.consumer_info(REQUESTS.name, ORCHESTRATOR_NUMBERS.name)
        return not info.num_pending and not info.num_ack_pending
