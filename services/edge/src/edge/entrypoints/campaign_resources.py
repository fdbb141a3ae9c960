"""The shapes of the REST API for campaigns: what it returns, and the bodies that are not events of the contracts."""

from pydantic import BaseModel, ConfigDict, Field

from contracts import CampaignCreateRequested, CampaignId, CampaignStatistics, RequestedTerms
from contracts.events.campaign_requests import (
    PauseReason,
)
from edge.application.campaigns import Campaign


class Pause(BaseModel):
    """Why a campaign is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: PauseReason | None = Field(default=None, description="shown with the campaign")


class NewCampaign(RequestedTerms):
    """A campaign to create: its id and its terms."""

    campaign_id: CampaignId

    def command(self) -> CampaignCreateRequested:
        """Returns the command that creates it."""
        terms = RequestedTerms.model_validate(self.model_dump(exclude={"campaign_id"}))
        return CampaignCreateRequested(campaign_id=self.campaign_id, terms=terms)


class CallMetrics(BaseModel):
    """A campaign's calls, counted by result."""

    campaign_id: str | None = Field(description="null: all campaigns")
    total_calls: int
    pending_calls: int = Field(description="calls that wait to be dialled, for the first time or again")
    in_progress_calls: int = Field(description="calls that are dialing, ringing or in progress")
    voicemail_calls: int
    canceled_calls: int
    expired_calls: int
    completed_calls: int
    failed_calls: int
    no_answer_calls: int
    busy_calls: int
    avg_duration: float = Field(
        description="average talk time in seconds, of all attempts, of completed calls with a known duration"
    )
    messages_whole: int = Field(description="calls whose message a machine recorded to its end")
    messages_cut: int = Field(description="calls whose message to a machine began and did not end")
    messages_none: int = Field(description="calls whose message to a machine did not begin")
    messages_withdrawn: int = Field(description="calls whose message was withdrawn: a person had answered")
    contacts_refused: int = Field(description="contacts whose call was not created")
    contacts_expired: int = Field(description="contacts that still waited when the campaign was over")

    @classmethod
    def of(cls, statistics: CampaignStatistics) -> "CallMetrics":
        """Returns the public form of a campaign's counters."""
        return cls(
            campaign_id=statistics.campaign_id,
            total_calls=statistics.total,
            pending_calls=statistics.pending,
            in_progress_calls=statistics.in_progress,
            voicemail_calls=statistics.voicemail,
            canceled_calls=statistics.canceled,
            expired_calls=statistics.expired,
            completed_calls=statistics.completed,
            failed_calls=statistics.failed,
            no_answer_calls=statistics.no_answer,
            busy_calls=statistics.busy,
            avg_duration=statistics.average_duration_seconds,
            messages_whole=statistics.messages_whole,
            messages_cut=statistics.messages_cut,
            messages_none=statistics.messages_none,
            messages_withdrawn=statistics.messages_withdrawn,
            contacts_refused=statistics.contacts_refused,
            contacts_expired=statistics.contacts_expired,
        )


class CampaignResource(Campaign):
    """A campaign and the counters of its calls."""

    calls: CallMetrics
