"""How a request for a contact becomes a waiting contact: shared by edge, which imports files, and call-orchestrator."""

from collections.abc import Mapping
from datetime import datetime

from contracts.callees import Callee
from contracts.campaign import Campaign, CampaignTerms
from contracts.events.contacts import ContactAdded, ContactGroupAdded
from contracts.events.requests import ContactRequested
from contracts.number_digests import NumberDigests
from contracts.script import accepts_all_values, greeting_refusals, missing_variables, size_refusals

NO_CONSENT = "prior consent is required; give the instant at which the person consented"


def campaign_refusal(campaign: Campaign, now: datetime) -> str | None:
    """Returns why no contact can be added to a campaign at this instant; None if contacts can be added."""
    if campaign.terms is None:
        return "campaign_id: no campaign was created with this id; create it first"
    if campaign.finished_at:
        return "campaign_id: the campaign is finished; create another one"
    if campaign.ends_at and campaign.ends_at <= now:
        return "ends_at: the period of the campaign is over; change it first"
    if campaign.terms.script_template is None:
        return "script_template: the campaign has no script for its contacts; change it first"
    return None


def request_id_of_contact(campaign_id: str, contact_id: str) -> str:
    """Returns the id of the request for the call of a contact. The id of the call follows from it."""
    return f"{campaign_id}:{contact_id}"


def campaign_of_request_id(request_id: str) -> str | None:
    """Returns the campaign to whose contact a request id may belong; None if it belongs to no contact."""
    campaign_id, separator, _ = request_id.partition(":")  # a campaign id contains no colon
    return campaign_id if separator else None


def request_id_of_other_number(campaign_id: str, contact_id: str) -> str:
    """Returns the id under which the first refused contact is found whose id has the call to another number."""
    return f"{request_id_of_contact(campaign_id, contact_id)}:other-number"


class ContactScript:
    """The script of a campaign's contacts, with the values that the terms have."""

    def __init__(self, terms: CampaignTerms) -> None:
        self._template = terms.script_template or ""
        self._values = terms.variables
        self.required = tuple(missing_variables(self._template, terms.variables))
        """The variables that each contact must have."""
        self._is_always_acceptable = accepts_all_values(self._template)

    def refusals(self, variables: Mapping[str, str]) -> list[str]:
        """Returns why the script with the values of a contact is refused, one line per field; empty if it is not."""
        missing = [name for name in self.required if name not in variables]
        if missing:
            return [f"variables.{name}: the script of the campaign needs this value; give it" for name in missing]
        if self._is_always_acceptable:
            return []
        values = {**self._values, **variables}
        return size_refusals(self._template, values) or greeting_refusals(self._template, values)


def waiting_contact(request: ContactRequested, callee: Callee, digests: NumberDigests, now: datetime) -> ContactAdded:
    """Returns the contact of a request, which is in the group of `callee`. Without an id, it has that of its number."""
    digest = digests.of(request.phone_number)
    return ContactAdded(
        campaign_id=request.campaign_id,
        zone_group=callee.zone_group,
        number_digest=digest,
        contact_id=request.contact_id or digest,
        phone_number=request.phone_number,
        variables=request.variables,
        time_zone=request.time_zone,
        language=request.language,
        metadata=request.metadata,
        consent_at=request.consent_at,
        consent_source=request.consent_source,
        created_at=now,
    )


def group_of(campaign_id: str, callee: Callee) -> ContactGroupAdded:
    """Returns the event that names the group of `callee` in a campaign."""
    return ContactGroupAdded(
        campaign_id=campaign_id,
        zone_group=callee.zone_group,
        country=callee.country,
        regions=callee.regions,
        zones=callee.zones,
    )
