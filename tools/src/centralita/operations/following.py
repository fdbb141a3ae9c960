"""Following the events of a call, a campaign or the whole log, in the order of the log, as they are stored."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from nats.aio.client import Client

from chassis.event_log import EventLog, UnreadableEvent
from chassis.keyring import Keyring
from chassis.stream_reader import follow, last_sequence
from contracts import CallDecision, Event
from contracts.filters import call_state_filter
from contracts.streams import CALLS
from records.call_ids import call_of, campaign_of
from records.messages import EVENT_FILTERS, Message, event_filters_of, with_keys


@dataclass
class Follower:
    """Follows one call, one campaign, or every event. `past`: from the beginning of the log instead of from now on.

    `keyring` opens personal fields; without one, they are hidden.
    """

    client: Client
    campaign_id: str | None = None
    call_id: UUID | None = None
    past: bool = False
    keyring: Keyring | None = None
    _campaigns: dict[str, str | None] = field(default_factory=dict)

    async def events(self) -> AsyncGenerator[tuple[Message, Event], None]:
        """Yields every event without end; for one call, until its final status."""
        filters = event_filters_of(self.call_id) if self.call_id else EVENT_FILTERS
        start = 1 if self.past else await last_sequence(self.client, CALLS.name) + 1
        async with aclosing(follow(self.client, CALLS, filters, start_sequence=start)) as batches:
            async for batch in batches:
                for message in await with_keys(map(Message.of, batch), self.keyring):
                    event = message.event()
                    if event is None or not await self._is_included(message):
                        continue
                    yield message, event
                    if self.call_id and isinstance(event, CallDecision) and event.call.status.is_final:
                        return

    async def _is_included(self, message: Message) -> bool:
        if self.call_id and call_of(message) != str(self.call_id):
            return False
        return self.campaign_id is None or await self._campaign_of(message) == self.campaign_id

    async def _campaign_of(self, message: Message) -> str | None:
        """Returns the campaign of a message. Most events name only their call, whose campaign is looked up once."""
        call_id = call_of(message) or ""
        if campaign_id := campaign_of(message):
            self._campaigns[call_id] = campaign_id
            return campaign_id
        if call_id not in self._campaigns:
            self._campaigns[call_id] = await self._campaign_in_log(call_id)
        return self._campaigns[call_id]

    async def _campaign_in_log(self, call_id: str) -> str | None:
        try:
            last = await EventLog(self.client, CALLS.name, source="tail").last(call_state_filter(call_id))
        except UnreadableEvent:
            return None
        return last.event.call.campaign_id if last and isinstance(last.event, CallDecision) else None
