"""The state of a call, as voice reads it before it acts."""

from uuid import UUID

from chassis.event_log import EventLog
from contracts import CallDecision
from contracts.call import Call
from contracts.streams import call_state_filter


async def load_call(calls: EventLog, call_id: UUID) -> Call | None:
    """Returns the call as it is now, read from the stream's leader; none if the log has no such call."""
    newest = await calls.last(call_state_filter(call_id))
    return newest.event.call if newest and isinstance(newest.event, CallDecision) else None
