"""What admission follows: slots and campaigns in the log, waiting calls in the queue."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

from nats.aio.client import Client

from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted, Released, SlotEvent, Waiting
from call_orchestrator.ports import CampaignStates
from chassis.direct_get import StoredMessage
from chassis.event_log import EventLog, StoredEvent
from chassis.live import chained, listen
from chassis.stored_event import stored_event_of_raw
from chassis.stream_reader import decoded, follow, last_sequence
from chassis.stream_scan import end_without, next_at_leader
from chassis.time_mapping import REAL_TIME, TimeMapping
from chassis.unreadable import UnreadableEvents
from contracts import (
    LIVE_STATUSES,
    AdmissionGranted,
    AdmissionReleased,
    CallStatus,
    Campaign,
    CampaignDecision,
    DialClaimed,
    Event,
    QueueJoined,
)
from contracts.filters import CAMPAIGN_FILTERS, SLOT_FILTERS
from contracts.streams import CALLS, QUEUE

_STATUSES = frozenset(CallStatus)


class NatsFeeds:
    """Implements `Feeds` with the streams CALLS and QUEUE."""

    def __init__(self, client: Client, log: EventLog, mapping: TimeMapping = REAL_TIME) -> None:
        """`mapping`: from the time of the server, which stores the grants, to that of decisions."""
        self._client = client
        self._mapping = mapping
        self._log = log
        self._unreadable = UnreadableEvents("waiting-calls")

    @asynccontextmanager
    async def slot_events(self) -> AsyncIterator[AsyncIterator[list[SlotEvent]]]:
        """Yields the events about slots in log order, from the sequence that the last grant names, and never ends.

        The last grant is looked up among those of older builds only if the chain has none yet.
        Raises UnreadableEvent: a replica that cannot decode one of them does not know which slots are occupied. Raises
        `chassis.live.Incomplete`: then some of the events may be missing, and the feed must be opened again.
        """
        end = await last_sequence(self._client, CALLS.name)
        last = await self._last_grant()
        start = end + 1
        if last and isinstance(last.event, AdmissionGranted):
            start = min(last.event.replay_from_sequence, last.sequence)  # an import gives events other sequences
        listening = listen(self._client, CALLS, SLOT_FILTERS, start_sequence=start)
        async with aclosing(chained(listening, AdmissionGranted.subjects(), end_sequence=end)) as batches:
            yield _slot_events(last.sequence if last else 0, batches, self._mapping)

    async def _last_grant(self) -> StoredEvent | None:
        for subject in (AdmissionGranted.subjects(), *AdmissionGranted.former_subjects()):
            if last := await self._log.last(subject):
                return last
        return None

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[AsyncIterator[list[Waiting]]]:
        """Yields the calls that wait for a slot, from the stream ``QUEUE``, and never ends."""
        # An entry that is skipped stays in the queue, for a replica that can decode it.
        skip = self._unreadable.report
        following = follow(self._client, QUEUE, [QueueJoined.subjects()], start_sequence=1)
        async with aclosing(decoded(following, QUEUE, skip=skip)) as batches:
            yield ([waiting for stored in batch if (waiting := _waiting(stored))] async for batch in batches)

    @asynccontextmanager
    async def campaigns(self) -> AsyncIterator[AsyncIterator[CampaignStates]]:
        """Yields the states of campaigns: first all of them (they have few events), then each change.

        Raises UnreadableEvent: it may be a pause.
        """
        present = await self._present_campaigns()
        following = follow(self._client, CALLS, CAMPAIGN_FILTERS, start_sequence=present.sequence + 1)
        async with aclosing(decoded(following, CALLS)) as batches:
            yield _states(present, batches)

    async def _present_campaigns(self) -> CampaignStates:
        """Returns the campaigns up to a sequence of the log. Each event costs one request to the leader."""
        [filter], events, sequence = CAMPAIGN_FILTERS, list[Event](), 0
        while True:
            while found := await next_at_leader(self._client, CALLS.name, filter, sequence + 1):
                stored = stored_event_of_raw(found, CALLS.name)
                events.append(stored.event)
                sequence = stored.sequence
            end_sequence = await end_without(self._client, CALLS.name, CAMPAIGN_FILTERS, sequence)
            if end_sequence is not None:  # otherwise one was stored meanwhile, or the leader has changed
                return CampaignStates(end_sequence, campaigns_after(events))


async def _states(present: CampaignStates, batches: AsyncIterator[list[StoredEvent]]) -> AsyncIterator[CampaignStates]:
    yield present
    async for batch in batches:
        if batch:
            yield CampaignStates(batch[-1].sequence, campaigns_after(stored.event for stored in batch))


def campaigns_after(events: Iterable[Event]) -> dict[str, Campaign]:
    """Returns the campaigns after these events, by id."""
    return {event.campaign_id: event.campaign for event in events if isinstance(event, CampaignDecision)}


async def _slot_events(
    last_grant_sequence: int, batches: AsyncIterator[list[StoredMessage]], mapping: TimeMapping
) -> AsyncIterator[list[SlotEvent]]:
    yield [Begun(last_grant_sequence)]
    async for batch in batches:
        yield [event for message in batch if (event := _slot_event(message, mapping))]


def _slot_event(message: StoredMessage, mapping: TimeMapping) -> SlotEvent | None:
    sequence, tokens = message.seq, message.subject.split(".")
    if tokens[0] == "call" and tokens[3] in _STATUSES:  # the subject has all that is needed, and the body is long
        return Decided(sequence, tokens[2], is_live=tokens[3] in LIVE_STATUSES)
    event = stored_event_of_raw(message, CALLS.name).event
    match event:
        case AdmissionGranted():
            is_chained = message.subject == AdmissionGranted.subjects()
            granted_at = mapping.simulated(message.time)
            return Granted(sequence, str(event.call_id), event.campaign_id, is_chained, granted_at)
        case AdmissionReleased():
            return Released(str(event.call_id), event.grant_sequence)
        case DialClaimed():
            return Claimed(str(event.call_id), mapping.simulated(message.time))
        case _:
            return None


def _waiting(stored: StoredEvent) -> Waiting | None:
    event = stored.event
    if not isinstance(event, QueueJoined):
        return None
    return Waiting(
        call_id=str(event.call_id),
        campaign_id=event.campaign_id,
        attempt=event.attempt,
        due_at=event.due_at,
        due_sequence=event.due_sequence,
        queue_sequence=stored.sequence,
    )
