"""Executes the tool `schedule_callback`: the person asks to be called at another time.

The event `conversation.callback_scheduled` is all that happens here; call-orchestrator decides what follows from it. It
is asked before for the first instant at which the call may be dialled once more, so that the agent can say it. Without
an answer the instant of the person is scheduled: it is moved to a permitted one when it is due (law 9).
"""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from chassis.event_log import EventLog
from contracts import AgentTools, CallbackScheduled, ToolStatus
from conversation.domain.local_times import InvalidTime, described, local_time, read_local_time, zones_of
from conversation.domain.tool_execution import ToolOutcome
from conversation.domain.tools import SCHEDULE_CALLBACK, Tool, strict_object, text_property
from conversation.ports import CallbackTimes, ToolInvocation

MAX_REASON_CHARACTERS = 200
_TOOL = Tool(
    SCHEDULE_CALLBACK,
    "Have the person called again at another time, when they ask for that. Agree on a date and a time first, then say "
    "when they will be called, and end the call unless they want to go on. Another call of it replaces the one before.",
    strict_object(
        {
            "local_time": text_property("Date and time where the person is, e.g. 2026-12-01T10:00"),
            "reason": text_property("Why they want to be called then, as short as it can be"),
        }
    ),
)
_NUMBERS_PER_TURN = 100


class CallbackScheduling:
    """Implements `conversation.ports.ToolExecutor`."""

    def __init__(self, log: EventLog, times: CallbackTimes) -> None:
        self._log = log
        self._times = times

    def offered(self, tools: AgentTools) -> tuple[Tool, ...]:
        """Returns the tool, if the campaign has it."""
        return (_TOOL,) if tools.may_schedule_callbacks else ()

    async def execute(self, invocation: ToolInvocation) -> ToolOutcome:
        """Schedules a callback. A repetition appends the same event; it has the same id, and the same number."""
        call, values = invocation.conversation.call, invocation.execution.argument_values or {}
        zones, reason = zones_of(call), str(values.get("reason", "")).strip()[:MAX_REASON_CHARACTERS]
        try:
            asked_at = read_local_time(str(values.get("local_time", "")), zones, self._log.now())
        except InvalidTime as error:
            return ToolOutcome(f"not scheduled: {error}", ToolStatus.REFUSED)
        permitted = await self._times.first_permitted(call.call_id, asked_at)
        if permitted is not None and permitted.at is None:
            return ToolOutcome(f"not scheduled: {permitted.detail}. Tell the person.", ToolStatus.REFUSED)
        at = permitted.at if permitted and permitted.at else asked_at
        await self._append(invocation, at, asked_at, (local_time(zones, at) or at).isoformat(), reason)
        if at != asked_at and permitted:
            moved = f"they may not be called at {described(zones, asked_at)} ({permitted.detail})"
            return ToolOutcome(f"{moved}; scheduled for {described(zones, at)}, the next permitted time. Tell them so.")
        unsure = "" if permitted else ", or the next permitted time after it"
        return ToolOutcome(f"scheduled for {described(zones, at)}{unsure}. Say when they will be called.")

    async def _append(
        self, invocation: ToolInvocation, at: datetime, asked_at: datetime, local: str, reason: str
    ) -> None:
        conversation, number = invocation.conversation, invocation.execution.number
        call_id, attempt, turn = conversation.call.call_id, conversation.attempt, invocation.turn
        event = CallbackScheduled(
            call_id=call_id,
            attempt=attempt,
            turn=turn,
            number=turn * _NUMBERS_PER_TURN + number + 1,
            at=at,
            asked_at=asked_at,
            local_time=local,
            reason=reason,
        )
        event_id = str(uuid5(NAMESPACE_URL, f"centralita:{call_id}/{attempt}/{turn}/callback/{number}"))
        await self._log.append(event, cause=invocation.cause, event_id=event_id)
