"""Which messages go to the archive: those of calls that ended before an instant.

The newest decision of a call says whether it has ended, so one read per call is enough, wherever its other messages
are. A message of a call that the stream no longer has goes too: a late report of an archived call. Campaign events stay
in the stream, because open calls need the pauses of their campaign. What became of erased requests goes once it is as
old as these calls. So do decided requests about numbers, persons and contacts, whose results are in other streams.
Call-orchestrator erases commands for do-not-call lists itself; older builds left them. Schedules stay: they belong to
the server.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from nats.aio.client import Client

from centralita.archiving.bounds import Bounds, last_message
from chassis.stored_event import stored_event_of_raw
from chassis.unreadable import UnreadableEvent
from contracts import CallDecision, RequestsErased
from contracts.filters import call_state_filter
from contracts.streams import REQUESTS
from records.call_ids import call_of
from records.messages import Message

MAX_CONCURRENT_READS = 16
"""More do not raise the rate on two cores; with 64, other appends wait for up to 400 ms."""
_MAX_KNOWN_CALLS = 20_000
_BY_AGE = ("number.", "person.", "contact.")
"""Families of the messages of REQUESTS that are about no call and no campaign."""


class Selection:
    """Selects messages of ended calls. It remembers the calls that it looked up last, so its memory is bounded."""

    def __init__(self, client: Client, bounds: Bounds, ended_before: datetime) -> None:
        self._client = client
        self._bounds = bounds
        self._ended_before = ended_before
        self._has_ended: dict[str, bool] = {}
        self._reads = asyncio.Semaphore(MAX_CONCURRENT_READS)

    async def of(self, messages: Sequence[Message]) -> list[Message]:
        """Returns those of the messages that go to the archive, in the same order."""
        calls = [self._call_of(message) for message in messages]
        unknown = {call_id for call_id in calls if call_id and call_id not in self._has_ended}
        if len(self._has_ended) > _MAX_KNOWN_CALLS:
            self._has_ended.clear()
            unknown = {call_id for call_id in calls if call_id}
        await asyncio.gather(*(self._look_up(call_id) for call_id in unknown))
        return [message for message, call_id in zip(messages, calls, strict=True) if self._goes(message, call_id)]

    def _goes(self, message: Message, call_id: str | None) -> bool:
        is_of_no_call = message.stream == REQUESTS.name and message.subject.startswith(_BY_AGE)
        if is_of_no_call and message.sequence in self._bounds.kept_sequences[REQUESTS.name]:
            return False
        if is_of_no_call or message.subject == RequestsErased.event_name:
            return message.time < self._ended_before
        return self._has_ended.get(call_id or "", False)

    def _call_of(self, message: Message) -> str | None:
        """Returns the call with which the message goes; None if the message stays."""
        if message.sequence in self._bounds.kept_sequences[message.stream]:
            return None
        call_id = call_of(message)
        return None if call_id in self._bounds.kept_calls else call_id

    async def _look_up(self, call_id: str) -> None:
        async with self._reads:
            newest = await last_message(self._client, call_state_filter(call_id))
        if newest is None:
            self._has_ended[call_id] = True
            return
        try:
            event = stored_event_of_raw(newest, "CALLS").event
        except UnreadableEvent:  # of a newer build
            self._has_ended[call_id] = False
            return
        call = event.call if isinstance(event, CallDecision) else None
        self._has_ended[call_id] = bool(
            call and call.status.is_final and (call.ended_at or call.status_changed_at) < self._ended_before
        )
