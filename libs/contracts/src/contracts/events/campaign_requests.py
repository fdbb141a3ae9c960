"""Commands of the edge about campaigns (stream ``REQUESTS``). They reject unknown fields."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from contracts.campaign_terms import RequestedTerms
from contracts.event import CampaignEvent, Service

PauseReason = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


class _CampaignCommand(CampaignEvent):
    """A command about a campaign. Only the edge may publish it, because it records each act in the audit log."""

    model_config = ConfigDict(extra="forbid")

    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})


class CampaignPauseRequested(_CampaignCommand):
    """A command to grant no more slots to this campaign. The campaign need not have calls yet."""

    event_name: ClassVar[str] = "campaign.pause_requested"

    reason: PauseReason | None = Field(default=None, description="shown to everyone who finds the campaign paused")


class CampaignResumeRequested(_CampaignCommand):
    """A command to grant slots to this campaign again."""

    event_name: ClassVar[str] = "campaign.resume_requested"


class _TermsRequested(_CampaignCommand):
    terms: RequestedTerms

    def refusals(self, now: datetime) -> list[str]:
        """Refuses terms that are not acceptable at this instant."""
        return self.terms.refusals(now)


class CampaignCreateRequested(_TermsRequested):
    """A command to declare a campaign with its terms. It is then a draft: no call of it is granted a slot."""

    event_name: ClassVar[str] = "campaign.create_requested"


class CampaignChangeRequested(_TermsRequested):
    """A command to replace the terms of a campaign. They apply to all calls that have no slot yet."""

    event_name: ClassVar[str] = "campaign.change_requested"

    campaign_version: int | None = Field(
        default=None,
        ge=0,
        description="refused unless the last event of the campaign has this sequence; null: is not compared",
    )


class CampaignStartRequested(_CampaignCommand):
    """A command to start a campaign: its calls are granted slots within its period."""

    event_name: ClassVar[str] = "campaign.start_requested"


class CampaignFinishRequested(_CampaignCommand):
    """A command to finish a campaign for good: its live calls continue, and no further call begins."""

    event_name: ClassVar[str] = "campaign.finish_requested"


CampaignCommand = (
    CampaignPauseRequested
    | CampaignResumeRequested
    | CampaignCreateRequested
    | CampaignChangeRequested
    | CampaignStartRequested
    | CampaignFinishRequested
)
"""A command about a campaign."""
