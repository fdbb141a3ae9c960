"""The log, the orchestrator and campaign-stats, over NATS."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from pydantic import ValidationError

from chassis.event_log import EventLog, Guard, StoredEvent
from contracts import CampaignStatistics, CampaignStatisticsQuery, CommandOutcome, Envelope, Event
from edge.ports import TooLarge, Unavailable

OUTCOME_SECONDS = 5.0
"""How long a REST caller waits for the orchestrator before the answer is 202 (what is stored is decided later)."""

ANSWER_SECONDS = 3.0
RECONNECTION_SECONDS = 2.0
_PAUSE_SECONDS = 0.05


@asynccontextmanager
async def translated(client: Client, what: str) -> AsyncIterator[None]:
    """NATS's errors as the ports name them; refuses soon while there is no connection, instead of waiting for one.

    The client switches to another node within that time. The telephone provider repeats a refused webhook at once or
    never.
    """
    try:
        async with asyncio.timeout(RECONNECTION_SECONDS):
            await _connected(client)
    except TimeoutError as error:
        raise Unavailable("no connection to NATS") from error
    try:
        yield
    except MaxPayloadError as error:
        raise TooLarge(what) from error
    except (NatsError, TimeoutError, OSError) as error:
        raise Unavailable(f"{what}: {type(error).__name__}") from error


async def _connected(client: Client) -> None:
    while True:
        if client.is_connected:
            return
        await asyncio.sleep(_PAUSE_SECONDS)


class BusFacts:
    """`edge.ports.Facts` on the log of calls."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    async def last(self, subject: str) -> StoredEvent | None:
        """See the port."""
        async with translated(self._client, "the log could not be read"):
            return await self._log.last(subject)

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """See the port."""
        async with translated(self._client, "the log could not be read"):
            return await self._log.read(subjects)

    async def append(self, event: Event, *, cause: Envelope, event_id: str, guard: Guard | None = None) -> None:
        """See the port."""
        async with translated(self._client, "the fact could not be stored"):
            await self._log.append(event, cause=cause, event_id=event_id, guard=guard)


class BusRequests:
    """`edge.ports.Requests` on the stream of requests; the orchestrator answers to the inbox in ``reply_to``."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    async def ask(self, request: Event) -> CommandOutcome | None:
        """See the port."""
        async with translated(self._client, "the request could not be stored"):
            inbox = self._client.new_inbox()
            answers = await self._client.subscribe(inbox, max_msgs=1)
            try:
                await self._log.append(request, headers={"reply_to": inbox})
                return await self._outcome(answers)
            finally:
                with suppress(NatsError):
                    await answers.unsubscribe()

    async def _outcome(self, answers: Subscription) -> CommandOutcome | None:
        try:
            answer = await answers.next_msg(timeout=OUTCOME_SECONDS)
        except NatsError:  # too late, or the connection went: the request is stored all the same
            return None
        return CommandOutcome.model_validate_json(answer.data)


class BusStatistics:
    """`edge.ports.Statistics` by request/reply."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(self, campaign_id: str | None) -> CampaignStatistics:
        """See the port."""
        query = CampaignStatisticsQuery(campaign_id=campaign_id)
        async with translated(self._client, "campaign-stats does not answer"):
            answer = await self._client.request(query.subject, query.model_dump_json().encode(), timeout=ANSWER_SECONDS)
        try:
            return CampaignStatistics.model_validate_json(answer.data)
        except ValidationError as error:
            raise Unavailable("campaign-stats gave no statistics") from error
