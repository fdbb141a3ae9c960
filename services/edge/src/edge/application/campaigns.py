"""What the REST API does with campaigns. A campaign need not have calls yet: it is whatever calls name."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts import CampaignDecision, CampaignEvent, CampaignId
from contracts.streams import campaign_state_filter
from edge.application.errors import Refused
from edge.ports import Facts, Requests


class Campaign(BaseModel):
    """Whether a campaign is paused: then no call of it is begun, and those that have begun go on."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId
    paused: bool = False
    since: AwareDatetime | None = Field(default=None, description="since when it stands so; none: it was never paused")
    reason: str | None = Field(default=None, description="why it is paused, if whoever paused it said so")


class Campaigns:
    """Commands and questions about campaigns. Everything raises Unavailable when the bus is not there."""

    def __init__(self, facts: Facts, requests: Requests) -> None:
        self._facts = facts
        self._requests = requests

    async def get(self, campaign_id: CampaignId) -> Campaign:
        """How the campaign stands in the log."""
        last = await self._facts.last(campaign_state_filter(campaign_id))
        if last is None or not isinstance(last.event, CampaignDecision):
            return Campaign(campaign_id=campaign_id)
        state = last.event.campaign
        return Campaign(campaign_id=campaign_id, paused=state.is_paused, since=state.changed_at, reason=state.reason)

    async def command(self, command: CampaignEvent) -> tuple[Campaign, bool]:
        """Asks for a change; how the campaign then stands, and whether it is decided. Raises Refused."""
        outcome = await self._requests.ask(command)
        if outcome and not outcome.accepted:
            raise Refused(outcome.reasons)
        return await self.get(command.campaign_id), outcome is not None
