"""Queries over NATS request/reply, and the outcomes of commands."""

from typing import Annotated, ClassVar
from uuid import uuid5

from pydantic import BaseModel, ConfigDict, Field

from contracts.values import CALL_NAMESPACE, CallId, CampaignId
from contracts.vocabulary import CallStatus, RefusalCode

CALL_REQUEST = "call.request"
"""Service subject: send a ``call.requested`` body as a request; the reply is a `CommandOutcome`."""

MAX_PAGE = 500
"""The maximum number of call ids in one answer."""

OUTCOMES = "outcome.*"
"""The filter of all subjects of outcomes."""


def outcome_subject(message_id: str) -> str:
    """Returns the subject of the outcome of the request or command that was published with this id (``ce-id``).

    Its last token is the UUIDv5 (RFC 9562) of the id in the name space of call ids, so any id gives a short and valid
    subject. Subscribe before publishing: outcomes are not stored.
    """
    return f"outcome.{uuid5(CALL_NAMESPACE, message_id)}"


class CommandOutcome(BaseModel):
    """The outcome of a request or command: accepted, or refused with a reason per field."""

    model_config = ConfigDict(frozen=True)

    accepted: bool
    call_id: CallId | None = None
    campaign_id: CampaignId | None = Field(default=None, description="the campaign, if the command was about one")
    request_id: str | None = None
    status: CallStatus | None = None
    reasons: tuple[str, ...] = ()
    code: RefusalCode | None = Field(default=None, description="the kind of refusal, where clients distinguish it")


class CampaignStatisticsQuery(BaseModel):
    """A query for the counters of one campaign, or of all campaigns."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.campaign"

    campaign_id: CampaignId | None = None


class CampaignCallsQuery(BaseModel):
    """A query for the ids of one campaign's calls with these statuses, in pages in the order of the ids."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.calls"

    campaign_id: CampaignId
    statuses: Annotated[tuple[CallStatus, ...], Field(min_length=1, max_length=len(CallStatus))]
    after: CallId | None = Field(default=None, description="the last id of the previous page")
    limit: int = Field(ge=1, le=MAX_PAGE, description="maximum number of ids")


class CampaignCalls(BaseModel):
    """One page of call ids from MongoDB, which may be a moment behind the log."""

    model_config = ConfigDict(frozen=True)

    call_ids: tuple[CallId, ...]
    has_more: bool = Field(description="whether further calls follow the last id")


class CampaignStatistics(BaseModel):
    """The counters of a campaign from MongoDB; all zero for an unknown campaign."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId | None
    total: int = 0
    pending: int = 0
    in_progress: int = Field(default=0, description="dialing, ringing or in progress")
    completed: int = 0
    failed: int = 0
    no_answer: int = 0
    busy: int = 0
    voicemail: int = 0
    canceled: int = 0
    expired: int = 0
    retries: int = Field(default=0, description="dials after the first")
    duration_seconds: int = Field(default=0, description="talk time of all calls")
    average_duration_seconds: float = Field(default=0.0, description="average talk time of completed calls")
    turns: int = Field(default=0, description="utterances of callees that were answered")
