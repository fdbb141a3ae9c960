"""What goes in and out of the REST API beside the contracts' own models."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from chassis.event_log import StoredEvent
from contracts import CallChangeRequested, CampaignStatistics
from contracts.events.requests import PauseReason
from edge.application.campaigns import Campaign


class CallChange(CallChangeRequested):
    """Fields of a call that has not been dialled. Those that are not given stay as they are."""

    call_id: SkipJsonSchema[UUID] = Field(default=UUID(int=0), description="stands in the path")

    def of(self, call_id: UUID) -> CallChangeRequested:
        """The command for the call that the path names. Raises RequestValidationError if the body names another."""
        if self.call_id not in (call_id, UUID(int=0)):
            wrong = {"type": "value_error", "loc": ("body", "call_id"), "msg": "stands in the path; leave it out"}
            raise RequestValidationError([wrong])
        return CallChangeRequested(call_id=call_id, **self.changes())


class Pause(BaseModel):
    """Why a campaign is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: PauseReason | None = Field(default=None, description="shown to whoever looks at the campaign")


class Message(BaseModel):
    """What is said in the callee's place."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, StringConstraints(min_length=1, max_length=2_000, strip_whitespace=True)]


class CallAccepted(BaseModel):
    """The request is stored and not yet decided; the call will be at ``Location``."""

    call_id: UUID
    request_id: str


class CallMetrics(BaseModel):
    """A campaign's calls by how they came out."""

    campaign_id: str | None = Field(description="none: all campaigns")
    total_calls: int
    completed_calls: int
    failed_calls: int
    no_answer_calls: int
    busy_calls: int
    avg_duration: float = Field(description="talk time of a completed call on average, in seconds")

    @classmethod
    def of(cls, statistics: CampaignStatistics) -> "CallMetrics":
        """The counters that the first design of the API names."""
        return cls(
            campaign_id=statistics.campaign_id,
            total_calls=statistics.total,
            completed_calls=statistics.completed,
            failed_calls=statistics.failed,
            no_answer_calls=statistics.no_answer,
            busy_calls=statistics.busy,
            avg_duration=statistics.average_duration_seconds,
        )


class CampaignView(Campaign):
    """A campaign and its calls."""

    calls: CallMetrics


class LoggedEvent(BaseModel):
    """One fact of a call's log."""

    sequence: int = Field(description="its place in the log of all calls")
    type: str = Field(examples=["call.status_changed.v2"])
    time: datetime
    source: str = Field(description="the service that says so")
    data: dict[str, Any]

    @classmethod
    def of(cls, recorded: StoredEvent) -> "LoggedEvent":
        """As the log has it."""
        envelope = recorded.envelope
        return cls(
            sequence=recorded.sequence,
            type=envelope.type,
            time=envelope.time,
            source=envelope.source,
            data=recorded.event.model_dump(mode="json"),
        )
