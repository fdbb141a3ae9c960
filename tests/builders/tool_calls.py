"""Builds tools of campaigns, and calls of them."""

import json
from typing import Any

from tests.builders.calls import a_call
from tests.builders.events import an_envelope, call_created

from contracts import AgentTools, CallStatus
from contracts.agent_tools import HttpTool
from conversation.domain.conversation import Conversation
from conversation.domain.tool_execution import ToolExecution
from conversation.ports import ToolInvocation

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"day": {"type": "string", "maxLength": 20}, "people": {"type": "integer", "minimum": 1}},
    "required": ["day"],
    "additionalProperties": False,
}


def an_http_tool(url: str, **changes: Any) -> HttpTool:
    """Returns the tool `free_slots` at a URL."""
    fields = {"name": "free_slots", "description": "Looks up the free hours of a day.", "parameters": PARAMETERS}
    return HttpTool(**{**fields, "url": url, "timeout_seconds": 60, **changes})


def an_invocation(
    tool: HttpTool, arguments: Any = None, *, number: int = 0, campaign_id: str = "spring"
) -> ToolInvocation:
    """Returns a call of the tool in the second turn of a call. `arguments`: an object, or text as a model writes it."""
    call = a_call(CallStatus.IN_PROGRESS, campaign_id=campaign_id, contact_id="contact-88")
    conversation = Conversation.of([call_created(call)], 1)
    assert conversation is not None
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {"day": "lunes"})
    execution = ToolExecution(number, tool.name, text)
    return ToolInvocation(conversation.with_tools(AgentTools(http=(tool,))), 2, execution, an_envelope())
