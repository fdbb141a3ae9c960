"""Questions answered over NATS request/reply, and the answers to commands."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from contracts.values import CallId, CampaignId
from contracts.vocabulary import CallStatus, RefusalCode

CALL_REQUEST = "call.request"
"""Service subject: send a ``call.requested`` body as a request; the reply is a `CommandOutcome`."""


class CommandOutcome(BaseModel):
    """What became of a request or command: accepted, or refused with the reasons, a line per field."""

    model_config = ConfigDict(frozen=True)

    accepted: bool
    call_id: CallId | None = None
    campaign_id: CampaignId | None = Field(default=None, description="the campaign, where one was paused or resumed")
    request_id: str | None = None
    status: CallStatus | None = None
    reasons: tuple[str, ...] = ()
    code: RefusalCode | None = Field(default=None, description="the kind of refusal, where clients distinguish it")


class CampaignStatisticsQuery(BaseModel):
    """Asks for the counters of one campaign, or of all."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.campaign"

    campaign_id: CampaignId | None = None


class CampaignStatistics(BaseModel):
    """A campaign's counters as MongoDB has them; all zero for a campaign that nobody has heard of."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId | None
    total: int = 0
    pending: int = 0
    in_progress: int = Field(default=0, description="dialing, ringing or talking")
    completed: int = 0
    failed: int = 0
    no_answer: int = 0
    busy: int = 0
    voicemail: int = 0
    canceled: int = 0
    expired: int = 0
    retries: int = Field(default=0, description="dials after the first")
    duration_seconds: int = Field(default=0, description="talk time of all calls")
    average_duration_seconds: float = Field(default=0.0, description="talk time of a completed call, on average")
    turns: int = Field(default=0, description="things heard and answered")
