"""Tool calls of the model that are executed while the model waits for their results (docs/tools.md).

A tool call is requested before it is executed. The request claims its number, so one replica executes it; one that
repeats it after a crash sends the same arguments. Its result is stored when it has ended, and is never asked for again.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from contracts.event import CallEvent, Service
from contracts.personal import PersonalText


class ToolStatus(StrEnum):
    """What became of a tool call."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    """It was not executed: its arguments or its address are not acceptable."""
    FAILED = "failed"
    """The other side failed, or its answer cannot be used."""
    TIMED_OUT = "timed_out"
    UNAVAILABLE = "unavailable"
    """It was not sent: the other side has failed too often lately, or has too many requests."""


class ToolRequested(CallEvent):
    """The model has called a tool, and one replica of conversation begins to execute it."""

    event_name: ClassVar[str] = "conversation.tool_requested"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})

    attempt: int
    turn: int
    number: int = Field(description="counts the executed tool calls of the turn, from 0")
    name: str
    arguments: PersonalText = Field(description="as the model wrote them: a JSON object")


class ToolCalled(CallEvent):
    """A tool call has ended, with the result that the model was given."""

    event_name: ClassVar[str] = "conversation.tool_called"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})

    attempt: int
    turn: int
    number: int
    name: str
    status: ToolStatus
    result: PersonalText = Field(description="as the model was given it; longer ones are cut")
    seconds: float = Field(description="from its request to its result")
