"""The life of a campaign."""

from typing import ClassVar

from pydantic import Field

from contracts.event import CampaignFact


class CampaignCreated(CampaignFact):
    """The campaign exists."""

    fact: ClassVar[str] = "campaign.created"


class CampaignChanged(CampaignFact):
    """Settings of the campaign changed."""

    fact: ClassVar[str] = "campaign.changed"

    changed: tuple[str, ...] = Field(description="names of the settings that changed")


class CampaignPaused(CampaignFact):
    """No call of it is begun until it is resumed."""

    fact: ClassVar[str] = "campaign.paused"

    reason: str | None = None


class CampaignResumed(CampaignFact):
    """Calls of it may begin again."""

    fact: ClassVar[str] = "campaign.resumed"


class CampaignFinished(CampaignFact):
    """Every call of it has reached a final status and no more are accepted."""

    fact: ClassVar[str] = "campaign.finished"
