"""Whether a campaign may go on. That it is there, its first call says; how far it is, campaign-stats counts."""

from typing import ClassVar

from pydantic import AwareDatetime

from contracts.event import CampaignEvent


class CampaignPaused(CampaignEvent):
    """No call of it is given a slot until it is resumed; calls that have one go on."""

    event_name: ClassVar[str] = "campaign.paused"

    occurred_at: AwareDatetime
    reason: str | None = None


class CampaignResumed(CampaignEvent):
    """Calls of it are given slots again, in their turn."""

    event_name: ClassVar[str] = "campaign.resumed"

    occurred_at: AwareDatetime
