"""Reading the events of a turn or an attempt, from the position that a URL or the call names."""

from collections.abc import Sequence
from uuid import UUID

from chassis.event_log import StoredEvent
from contracts import CallEvent
from edge.ports import CallLog


async def read_facts(
    log: CallLog,
    call_id: UUID,
    kinds: Sequence[type[CallEvent]],
    *,
    after_sequence: int,
    known_sequence: int | None = None,
) -> list[StoredEvent]:
    """Returns the events of these types after a sequence, in log order; if it is 0, all of the call.

    With a sequence it is one request, and the newest events may be missing, except up to `known_sequence`. Without one
    the result is as new as the leader's, and each type costs two requests.
    """
    if not after_sequence:
        return await log.read([kind.subject_for(call_id) for kind in kinds])
    return await log.read_after(f"*.*.{call_id}", after_sequence, kinds=kinds, known_sequence=known_sequence)
