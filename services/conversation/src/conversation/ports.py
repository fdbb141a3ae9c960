"""What this service needs from a model's vendor, the answer cache, and what executes tool calls of the model."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts import AgentTools, Envelope
from contracts.callback_times import CallbackTime
from conversation.domain.conversation import Conversation
from conversation.domain.messages import Completion, Message, TextEnd, ToolUseBegun
from conversation.domain.tool_execution import ToolExecution, ToolOutcome
from conversation.domain.tools import Tool

MAX_TOOL_SECONDS = 15.0
"""How long after its request a tool call may still be in progress: its own time, and that of its appends."""


class Model(Protocol):
    """A language model that streams its answers."""

    @property
    def name(self) -> str:
        """The vendor's name of the model."""
        ...

    def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, first_by: float, deadline_at: float
    ) -> AsyncGenerator[str | ToolUseBegun | TextEnd | Completion, None]:
        """Yields pieces of text, a `ToolUseBegun` per tool call, and of a complete answer `TextEnd` and `Completion`.

        The answer must begin by `first_by` and end by `deadline_at`, instants of the running loop's clock (seconds).
        Raises `providers.RequestFailed`, also after the first piece.
        """
        ...


class AnswerCache(Protocol):
    """Answers that may be reused for other callees. Never raises: a cache that fails counts as empty."""

    async def get(self, key: str) -> tuple[str, ...]:
        """Returns the sentences of the answer; none if there is no such answer."""
        ...

    async def put(self, key: str, sentences: Sequence[str]) -> None:
        """Stores an answer, if there is room."""
        ...


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """One tool call to execute: for which turn of which conversation, and which utterance caused it."""

    conversation: Conversation
    turn: int
    execution: ToolExecution
    cause: Envelope


class CallbackTimes(Protocol):
    """Knows when a call may be dialled once more."""

    async def first_permitted(self, call_id: UUID, at: datetime) -> CallbackTime | None:
        """Returns the first permitted instant that is not before `at`, as far as it is known now. None: unknown."""
        ...


class ToolExecutor(Protocol):
    """Executes tools of one kind, such as those over HTTP."""

    def offered(self, tools: AgentTools) -> tuple[Tool, ...]:
        """Returns the tools that a campaign's terms let the model call, and that this executor executes."""
        ...

    async def execute(self, invocation: ToolInvocation) -> ToolOutcome:
        """Executes a tool call, within 10 seconds, and returns the result for the model.

        Called again with the same invocation after a crash, so a repetition must have no second effect: an event that
        it appends has an id that follows from call, attempt, turn and number. Finished also if the callee interrupts
        the reply. An exception counts as a failure of the tool.
        """
        ...
