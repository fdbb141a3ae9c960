"""The edge's streams and requests on NATS: the call log, the requests and campaign-stats."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import uuid_utils
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from pydantic import ValidationError

from chassis.event_log import EventLog, Guard, StoredEvent, UnreadableEvent
from chassis.outcomes import next_outcome
from chassis.unreadable import UnreadableEvents
from contracts import (
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
    CommandOutcome,
    Envelope,
    Event,
    Outcomes,
    OutcomesQuery,
    outcome_subject,
)
from contracts.number_digests import NumberDigests
from edge.ports import OnOutcome, TooLarge, Unavailable, Unreadable

OUTCOME_SECONDS = 5.0
"""How long a REST client waits for the orchestrator before it gets 202; the stored request is decided later."""

LATE_OUTCOME_SECONDS = 600.0
"""How long the outcome is waited for after that, for the audit log."""
MAX_LATE = 10_000
"""Requests whose late outcome is waited for at a time."""
STATISTICS_SECONDS = 3.0
RECONNECT_SECONDS = 2.0
_POLL_SECONDS = 0.05
_UNREADABLE = UnreadableEvents("edge")

A = TypeVar("A", CampaignStatistics, CampaignCalls, CallList, CampaignList, Outcomes)
Query = CampaignStatisticsQuery | CampaignCallsQuery | CallListQuery | CampaignListQuery | OutcomesQuery


@asynccontextmanager
async def translate_errors(client: Client, failure: str) -> AsyncIterator[None]:
    """Translates NATS errors of the block to TooLarge or Unavailable, with the text `failure`.

    Without a connection it raises Unavailable after 2 s. Within that time a client has switched from a lost node to
    another one. A longer wait does not help a webhook: a provider repeats a failed one at once or never.
    """
    if not client.is_connected:
        await _wait_for_connection(client)
    try:
        yield
    except MaxPayloadError as error:
        raise TooLarge(failure) from error
    except UnreadableEvent as error:
        _UNREADABLE.report(error)
        raise Unreadable(f"{failure}: event {error.sequence} is of another version") from error
    except (NatsError, TimeoutError, OSError) as error:
        raise Unavailable(f"{failure}: {type(error).__name__}") from error


async def _wait_for_connection(client: Client) -> None:
    try:
        async with asyncio.timeout(RECONNECT_SECONDS):
            while not client.is_connected:  # noqa: ASYNC110  nats-py has no event for it
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise Unavailable("no connection to NATS") from error


class NatsCallLog:
    """Implements `edge.ports.CallLog` with the stream CALLS."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter. Raises Unavailable."""
        async with translate_errors(self._client, "the log could not be read"):
            return await self._log.last(subject)

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, from any node. Raises Unavailable."""
        async with translate_errors(self._client, "the log could not be read"):
            return await self._log.last_of_any_node(subject)

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        """Returns the events on a filter after a sequence. Raises Unavailable."""
        async with translate_errors(self._client, "the log could not be read"):
            return await self._log.read_after(subject, after_sequence, known_sequence=known_sequence, kinds=kinds)

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Returns every event on these filters, in log order. Raises Unavailable."""
        async with translate_errors(self._client, "the log could not be read"):
            return await self._log.read(subjects)

    async def read_all(self, subjects: Sequence[str]) -> list[StoredEvent | UnreadableEvent]:
        """As `read`, with an UnreadableEvent in place of each event that cannot be decoded."""
        async with translate_errors(self._client, "the log could not be read"):
            return await self._log.read_all(subjects)

    async def append(
        self, event: Event, *, cause: Envelope | None, event_id: str, guard: Guard | None = None
    ) -> StoredEvent:
        """Appends an event; the same id is stored once. Raises Unavailable, and Conflict if the guard fails."""
        async with translate_errors(self._client, "the event could not be stored"):
            return await self._log.append(event, cause=cause, event_id=event_id, guard=guard)


class NatsRequests:
    """Implements `edge.ports.Requests` with the stream REQUESTS; the outcome comes on `outcome_subject`."""

    def __init__(self, client: Client, log: EventLog, digests: NumberDigests) -> None:
        self._client = client
        self._log = log
        self._digests = digests
        self._late: set[asyncio.Task[None]] = set()

    async def send(
        self,
        request: Event,
        message_id: str | None = None,
        *,
        on_late_outcome: OnOutcome | None = None,
        person: str | None = None,
    ) -> CommandOutcome | None:
        """Stores the request and returns its outcome; None if there is no outcome in time. See the interface."""
        number = getattr(request, "phone_number", None)
        person = self._digests.of(number) if number else person
        async with translate_errors(self._client, "the request could not be stored"):
            request_id, is_late = message_id or str(uuid_utils.uuid7()), False
            outcomes = await self._client.subscribe(outcome_subject(request_id))
            try:
                sequence = (await self._log.append(request, event_id=request_id, person=person)).sequence
                outcome = await _outcome(outcomes, sequence, OUTCOME_SECONDS)
                is_late = outcome is None and on_late_outcome is not None and len(self._late) < MAX_LATE
            finally:
                if not is_late:
                    await _unsubscribe(outcomes)
        if is_late and on_late_outcome:
            task = asyncio.create_task(_pass_on(outcomes, sequence, on_late_outcome))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return outcome

    async def stop(self) -> None:
        """Stops waiting for late outcomes."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)


async def _outcome(outcomes: Subscription, sequence: int, timeout_seconds: float) -> CommandOutcome | None:
    try:
        return await next_outcome(outcomes, sequence, timeout_seconds)
    except NatsError:  # a timeout, or the connection was lost: the request is stored
        return None


async def _pass_on(outcomes: Subscription, sequence: int, on_outcome: OnOutcome) -> None:
    try:
        if outcome := await _outcome(outcomes, sequence, LATE_OUTCOME_SECONDS):
            await on_outcome(outcome)
    finally:
        await _unsubscribe(outcomes)


async def _unsubscribe(outcomes: Subscription) -> None:
    with suppress(NatsError):
        await outcomes.unsubscribe()


class NatsStatistics:
    """Implements `edge.ports.Statistics` with a NATS request to campaign-stats."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(self, campaign_id: str | None) -> CampaignStatistics:
        """Returns the counters of one campaign, or of all. Raises Unavailable."""
        return await self._ask(CampaignStatisticsQuery(campaign_id=campaign_id), CampaignStatistics)

    async def calls(self, query: CampaignCallsQuery) -> CampaignCalls:
        """Returns one page of the ids of a campaign's calls. Raises Unavailable."""
        return await self._ask(query, CampaignCalls)

    async def list_calls(self, query: CallListQuery) -> CallList:
        """Returns one page of calls, or of the calls of a number, newest first. Raises Unavailable."""
        return await self._ask(query, CallList)

    async def list_campaigns(self, query: CampaignListQuery) -> CampaignList:
        """Returns one page of campaigns. Raises Unavailable."""
        return await self._ask(query, CampaignList)

    async def outcomes(self, query: OutcomesQuery) -> Outcomes:
        """Returns how far calls came, why they ended, and their outcomes over time. Raises Unavailable."""
        return await self._ask(query, Outcomes)

    async def _ask(self, query: Query, answer: type[A]) -> A:
        body = query.model_dump_json().encode()
        async with translate_errors(self._client, "campaign-stats does not answer"):
            reply = await self._client.request(query.subject, body, timeout=STATISTICS_SECONDS)
        if reason := (reply.headers or {}).get("Nats-Service-Error"):
            raise Unavailable(f"campaign-stats: {reason}")
        try:
            return answer.model_validate_json(reply.data)
        except ValidationError as error:
            raise Unavailable("campaign-stats sent an invalid answer") from error
