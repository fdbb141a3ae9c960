"""The model's tool `transfer`: it requests that the callee is connected with a person (docs/transfers.md).

The destinations are those of the campaign's terms, by name, so neither the model nor the callee can choose a number.
The edge begins the transfer after the words of the reply were heard.
"""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from chassis.event_log import EventLog
from contracts import AgentTools, ToolStatus, TransferKind, TransferRequested
from contracts.agent_tools import TransferDestination
from contracts.transfers import MAX_SUMMARY_CHARACTERS, MAX_TRANSFERS
from conversation.domain.tool_execution import ToolExecution, ToolOutcome
from conversation.domain.tools import Tool, strict_object, text_property
from conversation.ports import ToolInvocation

TRANSFER = "transfer"
_DESCRIPTION = """\
Connect the person with a colleague, if they ask for it or if the script says so. Destinations:
{destinations}"""
_SUMMARY = "For the colleague, who hears it first: who the person is and what they want, in one or two short sentences"
REQUESTED = """\
The person is connected once your words have been heard. Tell them so in one short sentence, and ask nothing. If it \
does not succeed, you are told so in a message such as “[transfer {destination}: no answer]”: then say so, and go on."""
REPEATED = "not executed: a transfer was requested in this answer already"
TOO_MANY = "not executed: no further transfer is possible in this call; offer what else the script allows"


class TransferTool:
    """Implements `conversation.ports.ToolExecutor` for `transfer`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def offered(self, tools: AgentTools) -> tuple[Tool, ...]:
        """Returns the tool, if the campaign has destinations."""
        if not tools.transfers:
            return ()
        destinations = "\n".join(f"- {one.name}: {one.description}" for one in tools.transfers)
        names = [one.name for one in tools.transfers]
        parameters = strict_object(
            {"destination": text_property("With whom", names), "summary": text_property(_SUMMARY)}
        )
        return (Tool(TRANSFER, _DESCRIPTION.format(destinations=destinations), parameters),)

    async def execute(self, invocation: ToolInvocation) -> ToolOutcome:
        """Appends the request. A repetition has the same id, so the log stores it once."""
        conversation, execution = invocation.conversation, invocation.execution
        tools = conversation.tools
        destination = _destination(execution, tools.transfers if tools else ())
        if destination is None:
            names = ", ".join(one.name for one in tools.transfers) if tools else ""
            return ToolOutcome(f"not executed: there is no such destination; use one of {names}", ToolStatus.REFUSED)
        earlier = [
            (turn.number, one.number) for turn in conversation.turns for one in turn.executions if _has_ended(one)
        ]
        if any(turn == invocation.turn and number != execution.number for turn, number in earlier):
            return ToolOutcome(REPEATED, ToolStatus.REFUSED)
        if len({turn for turn, _ in earlier if turn < invocation.turn}) >= MAX_TRANSFERS:
            return ToolOutcome(TOO_MANY, ToolStatus.REFUSED)
        call_id, attempt = conversation.call.call_id, conversation.attempt
        requested = TransferRequested(
            call_id=call_id,
            attempt=attempt,
            turn=invocation.turn,
            destination=destination.name,
            kind=TransferKind(destination.kind),
            phone_number=destination.phone_number,
            summary=_summary(execution),
        )
        event_id = str(uuid5(NAMESPACE_URL, f"centralita:{call_id}/{attempt}/{invocation.turn}/transfer"))
        await self._log.append(requested, cause=invocation.cause, event_id=event_id)
        return ToolOutcome(REQUESTED.format(destination=destination.name))


def _has_ended(execution: ToolExecution) -> bool:
    """Whether this is a transfer that was requested."""
    return execution.name == TRANSFER and (execution.result or "").startswith(REQUESTED[:20])


def _destination(execution: ToolExecution, destinations: Sequence[TransferDestination]) -> TransferDestination | None:
    name = (execution.argument_values or {}).get("destination")
    return next((one for one in destinations if one.name == name), None)


def _summary(execution: ToolExecution) -> str:
    """Returns the model's summary. A text that is too long ends at a word."""
    value = (execution.argument_values or {}).get("summary")
    text = " ".join(value.split()) if isinstance(value, str) else ""
    text = text.encode(errors="ignore").decode()  # JSON can contain surrogates, UTF-8 cannot
    if len(text) <= MAX_SUMMARY_CHARACTERS:
        return text
    return text[:MAX_SUMMARY_CHARACTERS].rpartition(" ")[0] or text[:MAX_SUMMARY_CHARACTERS]
