"""The state of a call, as voice reads it before it acts."""

from uuid import UUID

from chassis.event_log import EventLog, StoredEvent
from contracts import CallDecision
from contracts.call import Call
from contracts.filters import call_state_filter


async def load_call(calls: EventLog, call_id: UUID) -> Call | None:
    """Returns the call as it is now, read from the stream's leader; none if the log has no such call."""
    state = await load_state(calls, call_id)
    return state.event.call if state else None


async def load_state(calls: EventLog, call_id: UUID, *, may_lag: bool = False) -> StoredEvent[CallDecision] | None:
    """As `load_call`, with the envelope and the sequence of the decision that carries the call.

    With `may_lag`, any node answers.
    """
    read = calls.last_of_any_node if may_lag else calls.last
    newest = await read(call_state_filter(call_id))
    if newest is None or not isinstance(newest.event, CallDecision):
        return None
    return StoredEvent(newest.event, newest.envelope, newest.sequence)
