"""The messages that a model is sent and the completion that it returns, independent of the vendor."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call of the model. `arguments` is the model's own text, which should be JSON but may not be."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """The task of the model; the first message."""

    text: str


@dataclass(frozen=True, slots=True)
class ScriptValues:
    """The values of the script's placeholders: data, with the rights of the callee and not of the instructions."""

    text: str


@dataclass(frozen=True, slots=True)
class CalleeMessage:
    """An utterance of the callee."""

    text: str


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """Words of the agent, and the tool calls that came with them."""

    text: str
    tool_uses: tuple[ToolUse, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call. Each tool use needs one, directly after its message."""

    tool_use_id: str
    text: str


Message = Instructions | ScriptValues | CalleeMessage | AgentMessage | ToolResult


@dataclass(frozen=True, slots=True)
class ToolUseBegun:
    """The model begins to call a tool, so its words before it are complete. The call itself is in the completion."""

    name: str


@dataclass(frozen=True, slots=True)
class TextEnd:
    """The answer is complete but for its token counts, which may take a while: no more words follow."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a complete answer: its tool calls, and its token counts if the vendor reports them."""

    tool_uses: tuple[ToolUse, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
