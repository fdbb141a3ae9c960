"""What is told to the model and what it answers, in no vendor's form."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the model calls; `arguments` is JSON text as the model wrote it, which may be no JSON at all."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the model is to do; comes first."""

    text: str


@dataclass(frozen=True, slots=True)
class FromCallee:
    """What the person on the telephone said."""

    text: str


@dataclass(frozen=True, slots=True)
class FromAgent:
    """What we said, and the tools that were called with it."""

    text: str
    tool_uses: tuple[ToolUse, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned; every tool use needs one, right after it."""

    tool_use_id: str
    text: str


Message = Instructions | FromCallee | FromAgent | ToolResult


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a whole answer of the model: the tools it calls, and what it cost if the vendor has said so."""

    tool_uses: tuple[ToolUse, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
