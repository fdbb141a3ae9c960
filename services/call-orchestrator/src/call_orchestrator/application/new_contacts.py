"""Adds contacts that upstream systems request on the bus."""

from collections.abc import Callable
from datetime import datetime

from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calling_times import calling_times
from call_orchestrator.application.number_claims import NumberClaims
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.ports import Log, WaitingContacts
from chassis.event_log import StoredEvent
from contracts import CommandOutcome, ContactRequested
from contracts.callees import callee_of
from contracts.contacts import NO_CONSENT, ContactScript, campaign_refusal, group_of, waiting_contact
from contracts.number_digests import NumberDigests

DUPLICATE = "phone_number: a contact with this number already waits in the campaign"


class NewContacts:
    """Decides requests for contacts. A contact that is accepted waits in the stream CONTACTS."""

    def __init__(
        self,
        log: Log,
        contacts: WaitingContacts,
        claims: NumberClaims,
        policy: Policy,
        digests: NumberDigests,
        now: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._contacts = contacts
        self._claims = claims
        self._policy = policy
        self._digests = digests
        self._now = now

    async def handle(self, stored: StoredEvent[ContactRequested]) -> CommandOutcome:
        """Adds the contact, or refuses it with the field.

        A second delivery is harmless: while the contact waits, it is found by its cause. If it was taken meanwhile, it
        is added again; its call has the same id, so the person is not called again.
        """
        now, request, cause = self._now(), stored.event, stored.envelope
        campaign = (await load_campaign(self._log, request.campaign_id)).campaign
        if refusal := campaign_refusal(campaign, now):
            return _refused(request, refusal)
        if campaign.terms and (refusals := ContactScript(campaign.terms).refusals(request.variables)):
            return _refused(request, refusals[0])
        callee = callee_of(request.phone_number, request.time_zone)
        times = calling_times(campaign, callee, self._policy, now)
        if times.first_at is None:
            return _refused(request, f"phone_number: {times.detail}")
        if times.requires_consent and request.consent_at is None:
            return _refused(request, f"consent_at: {NO_CONSENT}")
        list_names = campaign.dial_terms.do_not_call_lists
        if listed := await self._claims.refusal(request.phone_number, request.campaign_id, stored.sent_at, list_names):
            return _refused(request, listed.reason).model_copy(update={"code": listed.code})
        contact = waiting_contact(request, callee, self._digests, now)
        if not await self._contacts.add(contact, group_of(request.campaign_id, callee), cause):
            return _refused(request, DUPLICATE)
        return CommandOutcome(accepted=True, campaign_id=request.campaign_id)


def _refused(request: ContactRequested, reason: str) -> CommandOutcome:
    return CommandOutcome(accepted=False, campaign_id=request.campaign_id, reasons=(reason,))
