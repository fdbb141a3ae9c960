"""`CampaignLog` on JetStream."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

from nats.aio.client import Client
from nats.aio.msg import Msg

from call_orchestrator.ports import StoredCampaign
from chassis.event_log import EventLog, Guard
from chassis.stream_reader import follow
from contracts import Campaign, CampaignDecision, Envelope, Event, InvalidMessage, decode
from contracts.streams import CALLS, campaign_state_filter


class JetStreamCampaigns:
    """`CampaignLog`: few events, so each replica reads all of them before it follows."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    async def load(self, campaign_id: str) -> StoredCampaign:
        """See `CampaignLog.load`."""
        last = await self._log.last(campaign_state_filter(campaign_id))
        if last is None or not isinstance(last.event, CampaignDecision):
            return StoredCampaign(Campaign(campaign_id=campaign_id), sequence=0)
        return StoredCampaign(last.event.campaign, last.sequence)

    async def append(self, event: CampaignDecision, *, after: int, cause: Envelope) -> None:
        """See `CampaignLog.append`."""
        await self._log.append(event, cause=cause, guard=Guard(campaign_state_filter(event.campaign_id), after))

    @asynccontextmanager
    async def standings(self) -> AsyncIterator[AsyncIterator[Mapping[str, bool]]]:
        """See `CampaignLog.standings`."""
        every = campaign_state_filter("*")
        stored = await self._log.read([every])
        start = stored[-1].sequence + 1 if stored else 1
        async with aclosing(follow(self._client, CALLS, [every], start_sequence=start)) as batches:
            yield _standings([recorded.event for recorded in stored], batches)


async def _standings(
    stored: Iterable[Event], batches: AsyncGenerator[list[Msg], None]
) -> AsyncIterator[dict[str, bool]]:
    yield paused_by(stored)
    async for batch in batches:
        yield paused_by(decoded(batch))


def paused_by(events: Iterable[Event]) -> dict[str, bool]:
    """Whether each campaign is paused after these events, by its id."""
    return {event.campaign_id: event.campaign.is_paused for event in events if isinstance(event, CampaignDecision)}


def decoded(messages: Iterable[Msg]) -> Iterable[Event]:
    """The events of messages; one that cannot be decoded changes nothing."""
    for message in messages:
        with suppress(InvalidMessage):
            yield decode(message.subject, message.data)
