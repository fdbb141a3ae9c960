"""Examples of the events about tools of the model, for `contracts.examples`."""

from contracts.event import Event
from contracts.events.tools import ToolCalled, ToolRequested, ToolStatus
from contracts.values import call_id_of

_CALL_ID = call_id_of("appointment-1027")

TOOL_EXAMPLES: tuple[Event, ...] = (
    ToolRequested(call_id=_CALL_ID, attempt=1, turn=1, number=0, name="free_slots", arguments='{"day": "2026-03-04"}'),
    ToolCalled(
        call_id=_CALL_ID,
        attempt=1,
        turn=1,
        number=0,
        name="free_slots",
        status=ToolStatus.SUCCEEDED,
        result='{"slots": ["10:00", "11:30"]}',
        seconds=0.18,
    ),
)
