"""`CampaignLog` on JetStream."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg

from call_orchestrator.ports import Standing
from chassis.event_log import EventLog, Guard, StoredEvent
from chassis.stream_reader import follow
from contracts import CampaignPaused, CampaignResumed, Envelope
from contracts.streams import CALLS, campaign_state_filter


class JetStreamCampaigns:
    """`CampaignLog`: few facts, so each replica reads all of them before it follows."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    async def load(self, campaign_id: str) -> Standing:
        """See `CampaignLog.load`."""
        last = await self._log.last(campaign_state_filter(campaign_id))
        return Standing(isinstance(last.event, CampaignPaused), last.sequence) if last else Standing()

    async def append(self, fact: CampaignPaused | CampaignResumed, *, after: int, cause: Envelope) -> None:
        """See `CampaignLog.append`."""
        await self._log.append(fact, cause=cause, guard=Guard(campaign_state_filter(fact.campaign_id), after))

    @asynccontextmanager
    async def standings(self) -> AsyncIterator[AsyncIterator[Mapping[str, bool]]]:
        """See `CampaignLog.standings`."""
        every = campaign_state_filter("*")
        said = await self._log.read([every])
        start = said[-1].sequence + 1 if said else 1
        async with aclosing(follow(self._client, CALLS, [every], start=start)) as batches:
            yield _standings(said, batches)


async def _standings(
    said: list[StoredEvent], batches: AsyncGenerator[list[Msg], None]
) -> AsyncIterator[dict[str, bool]]:
    yield _paused(recorded.event.subject for recorded in said)
    async for batch in batches:
        yield _paused(message.subject for message in batch)


def _paused(subjects: Iterable[str]) -> dict[str, bool]:
    """The last word on each campaign. A subject says all of it."""
    words = (subject.rsplit(".", 1) for subject in subjects)
    return {campaign_id: fact == CampaignPaused.event_name for fact, campaign_id in words}
