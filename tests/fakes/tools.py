"""An executor of tools whose results a test prepares."""

import asyncio
from dataclasses import dataclass, field

from contracts import AgentTools
from conversation.domain.tool_execution import ToolOutcome
from conversation.domain.tools import Tool, strict_object, text_property
from conversation.ports import ToolInvocation

LOOKUP = "free_slots"


@dataclass
class PreparedTools:
    """Executes `free_slots`, if the campaign has tools. While `may_end` is not set, executions wait."""

    result: ToolOutcome = field(default_factory=lambda: ToolOutcome("a las diez"))
    error: Exception | None = None
    invocations: list[ToolInvocation] = field(default_factory=list)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_end.set()

    def offered(self, tools: AgentTools) -> tuple[Tool, ...]:
        """Returns the one tool."""
        return (Tool(LOOKUP, "Looks up the free hours of a day.", strict_object({"day": text_property("the day")})),)

    async def execute(self, invocation: ToolInvocation) -> ToolOutcome:
        """Returns the prepared result, or raises the prepared error."""
        self.invocations.append(invocation)
        self.has_begun.set()
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return self.result
