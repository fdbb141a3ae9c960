"""What decisions on calls need of their campaigns: as this replica follows them, or as the leader has them.

A replica knows no campaign until it has read the events of all, after a start and after each interruption. That takes a
request to the leader for each event. A build that cannot decode one of them knows no campaign at all. And a replica
receives a new campaign a moment after its creation was acknowledged. A call that is created meanwhile must have the
terms: without them it would be dialled too often, and its personal data kept for too long. So what the replica does not
know is read at the leader: for each decision while it knows no campaign, and otherwise for the first new call of each
campaign without terms.

A change or a finish is received late, too. A new call has the former terms then, and one of a finished campaign is
ended by `call_orchestrator.application.finished_campaigns`.
"""

from collections import OrderedDict
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from call_orchestrator.application.call_terms import NO_TERMS
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.domain.decisions import Refused
from call_orchestrator.ports import Log
from chassis.event_log import UnreadableEvent
from contracts import Call, CallRequested, CampaignId, CampaignTerms
from contracts.contacts import campaign_of_request_id

MAX_UNDECLARED = 10_000
"""Campaigns without terms that are remembered, so that not each of their calls causes a read."""


@dataclass(frozen=True, slots=True)
class KnownCampaign:
    """What is known of a campaign. By default, it was never created."""

    terms: CampaignTerms = NO_TERMS
    is_finished: bool = False

    def refusal(self, campaign_id: str) -> Refused | None:
        """Returns why a request for a call of this campaign is refused, if it is."""
        if self.is_finished:
            return Refused(f"campaign_id: the campaign {campaign_id} is finished; create another one")
        return None


UNDECLARED = KnownCampaign()

_CAMPAIGN_ID: TypeAdapter[str] = TypeAdapter(CampaignId)


class KnownCampaigns:
    """The campaigns of calls. Without `followed`, none has terms."""

    def __init__(self, log: Log, followed: OpenCampaigns | None) -> None:
        self._log = log
        self._followed = followed
        self._undeclared: OrderedDict[str, None] = OrderedDict()

    async def of_new_call(self, request: CallRequested) -> KnownCampaign:
        """Returns the campaign of a new call. Raises UnreadableEvent: the call waits for a build that can decode it.

        A call that needs a script and would get none has its terms from the leader, too.
        """
        if self._followed is None:
            return UNDECLARED
        known = self._known(self._followed, request.campaign_id)
        has_script = request.script_template is not None or (known and known.terms.script_template is not None)
        return known if known and has_script else await self.at_leader(request.campaign_id)

    async def request_id_refusal(self, request_id: str, campaign_id: str) -> Refused | None:
        """Returns why a new call may not have this request id: it is that of a contact of another campaign.

        Otherwise that contact would lose its call, whose id follows from campaign and contact. Only a declared campaign
        has contacts. Raises UnreadableEvent.
        """
        other = campaign_of_request_id(request_id)
        if other is None or other == campaign_id or self._followed is None:
            return None
        try:
            _CAMPAIGN_ID.validate_python(other)
        except ValidationError:
            return None
        known = self._known(self._followed, other) or await self.at_leader(other)
        if known == UNDECLARED:
            return None
        return Refused(f"request_id: ids that begin with {other}: belong to that campaign; give another one")

    async def of_call(self, call: Call) -> KnownCampaign:
        """Returns the campaign of a call that exists.

        If this build cannot decode the campaign, it counts as one without terms, so that the call can be changed and
        ended. The call is not dialled by that: this build grants no slot then.
        """
        if self._followed is None:
            return UNDECLARED
        if self._followed.is_read:
            return self._known(self._followed, call.campaign_id) or UNDECLARED
        try:
            return await self.at_leader(call.campaign_id)
        except UnreadableEvent:
            return UNDECLARED

    async def at_leader(self, campaign_id: str) -> KnownCampaign:
        """Returns the campaign as the leader has it. Raises UnreadableEvent."""
        stored = await load_campaign(self._log, campaign_id)
        if self._followed:
            self._followed.note(stored)
        campaign = stored.campaign
        if campaign.terms is None:
            self._undeclared[campaign_id] = None
            if len(self._undeclared) > MAX_UNDECLARED:
                self._undeclared.popitem(last=False)
        return KnownCampaign(campaign.terms or NO_TERMS, is_finished=campaign.finished_at is not None)

    def _known(self, followed: OpenCampaigns, campaign_id: str) -> KnownCampaign | None:
        """Returns the campaign without a read; None if the leader may know more of it."""
        if not followed.is_read:
            return None
        if followed.is_finished(campaign_id):
            return KnownCampaign(is_finished=True)
        if (campaign := followed.get(campaign_id)) and campaign.terms:
            return KnownCampaign(campaign.terms)
        return UNDECLARED if campaign_id in self._undeclared else None
