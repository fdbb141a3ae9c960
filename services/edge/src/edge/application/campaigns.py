"""Reading campaigns and sending commands about them. A campaign exists as soon as a call or a command names it."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts import CampaignDecision, CampaignEvent, CampaignId
from contracts.filters import campaign_state_filter
from edge.application.calls import raise_if_refused
from edge.ports import CallLog, Requests


class Campaign(BaseModel):
    """Whether a campaign is paused. A paused campaign begins no attempts; its live calls continue."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId
    paused: bool = False
    since: AwareDatetime | None = Field(default=None, description="when it was paused or resumed; null: never")
    reason: str | None = Field(default=None, description="why it is paused, if a reason was given")


class Campaigns:
    """Commands and queries about campaigns. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, log: CallLog, requests: Requests) -> None:
        self._log = log
        self._requests = requests

    async def get(self, campaign_id: CampaignId) -> Campaign:
        """Returns the campaign as its last event describes it."""
        last = await self._log.last(campaign_state_filter(campaign_id))
        if last is None or not isinstance(last.event, CampaignDecision):
            return Campaign(campaign_id=campaign_id)
        state = last.event.campaign
        return Campaign(campaign_id=campaign_id, paused=state.is_paused, since=state.changed_at, reason=state.reason)

    async def command(self, command: CampaignEvent) -> tuple[Campaign, bool]:
        """Sends a command. Returns the campaign after it, and whether the command is decided. Raises Refused."""
        outcome = await self._requests.send(command)
        raise_if_refused(outcome)
        return await self.get(command.campaign_id), outcome is not None
