"""Reading campaigns and sending commands about them. A campaign exists as soon as a call or a command names it."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts import CampaignCommand, CampaignDecision, CampaignId, CampaignStatus, CampaignTerms
from contracts.campaign import Campaign as CampaignState
from contracts.filters import campaign_state_filter
from edge.application.calls import raise_if_refused, raise_if_unacceptable
from edge.application.errors import Refused
from edge.ports import CallLog, Requests


class Campaign(BaseModel):
    """A campaign: its terms and its status. Calls begin while it runs, within its period."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId
    status: CampaignStatus = Field(
        default=CampaignStatus.UNDECLARED, description="undeclared: it was never created, and its calls begin"
    )
    paused: bool = False
    since: AwareDatetime | None = Field(default=None, description="when it was paused or resumed; null: never")
    reason: str | None = Field(default=None, description="why it is paused, if a reason was given")
    terms: CampaignTerms | None = Field(default=None, description="null: it was never created")
    created_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    version: int = Field(
        default=0,
        description="sequence of its last event, 0: it has none; PUT with this `version` replaces no newer terms",
    )


class Campaigns:
    """Commands and queries about campaigns. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, log: CallLog, requests: Requests) -> None:
        self._log = log
        self._requests = requests

    async def state(self, campaign_id: CampaignId) -> CampaignState:
        """Returns the campaign as its last event carries it."""
        return (await self._last(campaign_id))[0]

    async def _last(self, campaign_id: CampaignId) -> tuple[CampaignState, int]:
        """Returns the campaign and the sequence of its last event; 0 if it has none."""
        last = await self._log.last(campaign_state_filter(campaign_id))
        if last is None or not isinstance(last.event, CampaignDecision):
            return CampaignState(campaign_id=campaign_id), 0
        return last.event.campaign, last.sequence

    async def get(self, campaign_id: CampaignId) -> Campaign:
        """Returns the campaign as its last event describes it."""
        state, version = await self._last(campaign_id)
        return Campaign(
            campaign_id=campaign_id,
            status=state.status,
            paused=state.is_paused,
            since=state.changed_at,
            reason=state.reason,
            terms=state.terms,
            created_at=state.created_at,
            started_at=state.started_at,
            finished_at=state.finished_at,
            version=version,
        )

    async def max_attempts(self, campaign_id: CampaignId) -> int | None:
        """Returns how many dials of a call the campaign permits, from any node, which may lag; None: as requested."""
        last = await self._log.last_of_any_node(campaign_state_filter(campaign_id))
        terms = last.event.campaign.terms if last and isinstance(last.event, CampaignDecision) else None
        return terms.max_attempts if terms else None

    async def raise_if_finished(self, campaign_id: CampaignId) -> None:
        """Raises Refused if the campaign is finished, so that no call of it is dialled again."""
        if (await self.get(campaign_id)).finished_at:
            raise Refused(("campaign_id: the campaign is finished, and its calls are not dialled; create another one",))

    async def command(self, command: CampaignCommand) -> tuple[Campaign, bool]:
        """Sends a command. Returns the campaign after it, and whether the command is decided.

        Raises Refused, also if the command is not acceptable now and was not sent.
        """
        raise_if_unacceptable(command)
        outcome = await self._requests.send(command)
        raise_if_refused(outcome)
        return await self.get(command.campaign_id), outcome is not None
