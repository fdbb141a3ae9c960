"""The orchestrator's decisions about campaigns. Readers use the campaign in the event, not the type of the event."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from contracts.event import CampaignDecision


class _PauseChanged(CampaignDecision):
    version: ClassVar[int] = 2
    is_pause: ClassVar[bool]
    """Whether the event is a pause. Needed to read version 1 events, which carried no campaign."""

    @model_validator(mode="before")
    @classmethod
    def _read_version_1(cls, body: Any) -> Any:
        if not isinstance(body, dict) or "campaign" in body:
            return body
        campaign = {
            "campaign_id": body.get("campaign_id"),
            "is_paused": cls.is_pause,
            "changed_at": body.get("occurred_at"),
            "reason": body.get("reason"),
        }
        return {**body, "campaign": campaign}


class CampaignPaused(_PauseChanged):
    """The campaign was paused: its calls are granted no slots until it is resumed. Live calls go on."""

    event_name: ClassVar[str] = "campaign.paused"
    is_pause: ClassVar[bool] = True


class CampaignResumed(_PauseChanged):
    """The campaign was resumed: its calls are granted slots again."""

    event_name: ClassVar[str] = "campaign.resumed"
    is_pause: ClassVar[bool] = False


class CampaignCreated(CampaignDecision):
    """The campaign was declared with its terms. Its calls are granted no slots until it is started."""

    event_name: ClassVar[str] = "campaign.created"


class CampaignChanged(CampaignDecision):
    """The campaign has other terms, which apply to all calls that have no slot yet."""

    event_name: ClassVar[str] = "campaign.changed"


class CampaignStarted(CampaignDecision):
    """The campaign was started: its calls are granted slots within its period."""

    event_name: ClassVar[str] = "campaign.started"


class CampaignFinished(CampaignDecision):
    """The campaign is finished: its live calls go on, its waiting calls expire, and requests for it are refused."""

    event_name: ClassVar[str] = "campaign.finished"


class CampaignContactsExpired(CampaignDecision):
    """The campaign is over, and its contacts that still waited are not called. They are removed after this event.

    Contacts that were added meanwhile follow in another event.
    """

    event_name: ClassVar[str] = "campaign.contacts_expired"

    count: int = Field(description="how many contacts waited")
    until_sequence: int | None = Field(
        default=None, description="position in the stream CONTACTS up to which they were counted; null in older events"
    )
