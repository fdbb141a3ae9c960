"""What happens, as it happens: the facts of a campaign or of a call, from the log, in its order."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from nats.aio.client import Client

from centralita.replay.messages import FACTS, Message, facts_about
from centralita.replay.reading import last_sequence, message_of
from centralita.replay.scope import call_of, campaign_of
from chassis.event_log import EventLog
from chassis.stream_reader import follow
from contracts import CallDecision, Event, InvalidMessage
from contracts.streams import CALLS, call_state_filter


@dataclass
class Follower:
    """Follows one call, one campaign, or everything. `past`: from the beginning of the log, not from now on."""

    client: Client
    campaign_id: str | None = None
    call_id: UUID | None = None
    past: bool = False
    _campaigns: dict[str, str | None] = field(default_factory=dict)

    async def facts(self) -> AsyncGenerator[tuple[Message, Event], None]:
        """Every fact, without end; of one call until it has its final status."""
        filters = facts_about(self.call_id) if self.call_id else FACTS
        start = 1 if self.past else await last_sequence(self.client, CALLS.name) + 1
        # Closed as soon as the last one is out: an iterator that is only dropped keeps its consumer for a while.
        async with aclosing(follow(self.client, CALLS, filters, start=start)) as batches:
            async for batch in batches:
                for message in map(message_of, batch):
                    event = await self._wanted(message)
                    if event is None:
                        continue
                    yield message, event
                    if self.call_id and isinstance(event, CallDecision) and event.call.status.is_final:
                        return

    async def _wanted(self, message: Message) -> Event | None:
        try:
            event = message.recorded().event
        except InvalidMessage:
            return None
        if self.campaign_id is None or await self._campaign(message) == self.campaign_id:
            return event
        return None

    async def _campaign(self, message: Message) -> str | None:
        """Most facts name only their call; which campaign it is of is asked once."""
        if named := campaign_of(message):
            self._campaigns[call_of(message) or ""] = named
            return named
        call_id = call_of(message) or ""
        if call_id not in self._campaigns:
            last = await EventLog(self.client, CALLS.name, source="tail").last(call_state_filter(call_id))
            known = last.event.call.campaign_id if last and isinstance(last.event, CallDecision) else None
            self._campaigns[call_id] = known
        return self._campaigns[call_id]
