"""The query for when a callee who asks for it may be called again. call-orchestrator answers it."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from contracts.instants import Instant
from contracts.values import CallId


class CallbackTimeQuery(BaseModel):
    """A query for the first instant, not before `at`, at which the call may be dialled once more."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "call.callback_time"

    call_id: CallId
    at: Instant


class CallbackTime(BaseModel):
    """When the call may be dialled once more, as far as it is known now."""

    model_config = ConfigDict(frozen=True)

    at: Instant | None = Field(description="null: not at all")
    detail: str = Field(default="", description="why it is not the instant of the query; empty: it is")
