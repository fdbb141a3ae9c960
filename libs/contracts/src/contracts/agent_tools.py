"""What the model may do in the calls of a campaign beside talking (docs/tools.md), as the log stores it.

`contracts.requested_tools` validates the tools of a command. Stored ones are not validated again.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

BUILT_IN_NAMES = frozenset({"end_call", "note", "opt_out", "transfer", "schedule_callback", "send_digits"})
"""The names that no tool of a campaign may have."""


class HttpTool(BaseModel):
    """A function of the campaign's own system: the model's arguments are sent to its URL."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(description="what the model calls it")
    description: str = Field(description="for the model: what it does, and when to use it")
    parameters: dict[str, Any] = Field(description="JSON schema of its arguments, an object")
    url: str = Field(description="where the arguments are sent")
    timeout_seconds: float = Field(default=5.0, description="how long its answer may take")


class TransferDestination(BaseModel):
    """A person or a team to whom the model may transfer a call."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(description="what the model calls it")
    description: str = Field(description="for the model: who answers there, and when to transfer")
    phone_number: str = Field(description="the number of a company, so it is not personal")
    kind: str = Field(
        default="cold", description="cold: the agent leaves at once; warm: it introduces the callee first"
    )


class AgentTools(BaseModel):
    """The tools of a campaign beside those that every conversation has: `end_call` and `note`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    http: tuple[HttpTool, ...] = Field(default=(), description="functions of the campaign's own systems")
    transfers: tuple[TransferDestination, ...] = Field(default=(), description="to whom calls may be transferred")
    may_schedule_callbacks: bool = Field(default=False, description="whether the model may schedule another call")
    may_send_digits: bool = Field(default=False, description="whether the model may press keys, such as in a menu")
