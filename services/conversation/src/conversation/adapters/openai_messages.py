"""The messages and tools of a request, in the form of OpenAI's chat completions."""

from typing import assert_never

from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)

from conversation.domain.messages import AgentMessage, CalleeMessage, Instructions, Message, ScriptValues, ToolResult
from conversation.domain.tools import Tool

_VALUES_NAME = "script_values"
"""The participant of a message that has no words of the callee. OpenAI knows no other role without authority."""


def message_param(message: Message) -> ChatCompletionMessageParam:
    """Returns a message in the vendor's form."""
    match message:
        case Instructions(text):
            return {"role": "system", "content": text}
        case ScriptValues(text):
            return {"role": "user", "name": _VALUES_NAME, "content": text}
        case CalleeMessage(text):
            return {"role": "user", "content": text}
        case AgentMessage():
            return _assistant_message(message)
        case ToolResult(tool_use_id, text):
            return {"role": "tool", "tool_call_id": tool_use_id, "content": text}
        case _:
            assert_never(message)


def _assistant_message(message: AgentMessage) -> ChatCompletionAssistantMessageParam:
    if not message.tool_uses:
        return {"role": "assistant", "content": message.text}
    calls: list[ChatCompletionMessageFunctionToolCallParam] = [
        {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}
        for use in message.tool_uses
    ]
    return {"role": "assistant", "content": message.text or None, "tool_calls": calls}


def tool_param(tool: Tool) -> ChatCompletionToolParam:
    """Returns a tool in the vendor's form."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
            "strict": tool.is_strict,
        },
    }
