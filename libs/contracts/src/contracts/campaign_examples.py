"""Examples of the events about one campaign and its contacts, for `contracts.examples`."""

from datetime import UTC, datetime, timedelta

from contracts.callees import callee_of
from contracts.campaign import Campaign
from contracts.campaign_terms import RequestedTerms
from contracts.event import Event
from contracts.events.campaign_requests import (
    CampaignChangeRequested,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
)
from contracts.events.campaigns import (
    CampaignChanged,
    CampaignContactsExpired,
    CampaignCreated,
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignStarted,
)
from contracts.events.contacts import ContactAdded, ContactGroupAdded, ContactRefused
from contracts.events.requests import (
    ContactRequested,
)
from contracts.number_examples import PHONE_NUMBER
from contracts.values import call_id_of

CAMPAIGN_ID, CONTACT_ID = "reminders", "contact-88"
_CREATED = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
_CALLEE = callee_of(PHONE_NUMBER)

_PAUSED = Campaign(campaign_id=CAMPAIGN_ID).paused(_CREATED, "public holiday")
_RESUMED = _CREATED + timedelta(days=1)
_TERMS = RequestedTerms(
    name="Appointment reminders",
    starts_at=_CREATED + timedelta(hours=1),
    ends_at=_CREATED + timedelta(days=30),
    max_concurrent_calls=5,
)
_FEWER = RequestedTerms(name="Appointment reminders", max_concurrent_calls=2)
_DRAFT = Campaign(campaign_id=CAMPAIGN_ID).created(_CREATED, _TERMS.stored())
_STARTED = _DRAFT.started(_CREATED)

CAMPAIGN_EXAMPLES: tuple[Event, ...] = (
    CampaignPauseRequested(campaign_id=CAMPAIGN_ID, reason="public holiday"),
    CampaignResumeRequested(campaign_id=CAMPAIGN_ID),
    CampaignCreateRequested(campaign_id=CAMPAIGN_ID, terms=_TERMS),
    CampaignChangeRequested(campaign_id=CAMPAIGN_ID, terms=_FEWER),
    CampaignStartRequested(campaign_id=CAMPAIGN_ID),
    CampaignFinishRequested(campaign_id=CAMPAIGN_ID),
    CampaignPaused(campaign=_PAUSED, occurred_at=_CREATED),
    CampaignResumed(campaign=_PAUSED.resumed(_RESUMED), occurred_at=_RESUMED),
    CampaignCreated(campaign=_DRAFT, occurred_at=_CREATED),
    CampaignChanged(campaign=_STARTED.changed(_FEWER.stored()), occurred_at=_RESUMED),
    CampaignStarted(campaign=_STARTED, occurred_at=_CREATED),
    CampaignFinished(campaign=_STARTED.finished(_RESUMED), occurred_at=_RESUMED),
    CampaignContactsExpired(campaign=_STARTED.finished(_RESUMED), occurred_at=_RESUMED, count=188),
    ContactRequested(
        campaign_id=CAMPAIGN_ID,
        contact_id=CONTACT_ID,
        phone_number=PHONE_NUMBER,
        variables={"name": "Ana García", "time": "10:00"},
    ),
    ContactAdded(
        campaign_id=CAMPAIGN_ID,
        zone_group=_CALLEE.zone_group,
        number_digest="6f1c7a0b9d2e4f58a3b1c6d7e8f90a12",
        contact_id=CONTACT_ID,
        phone_number=PHONE_NUMBER,
        variables={"name": "Ana García", "time": "10:00"},
        created_at=_CREATED,
    ),
    ContactGroupAdded(
        campaign_id=CAMPAIGN_ID,
        zone_group=_CALLEE.zone_group,
        country=_CALLEE.country,
        regions=_CALLEE.regions,
        zones=_CALLEE.zones,
    ),
    ContactRefused(
        call_id=call_id_of("reminders:contact-89"),
        campaign_id=CAMPAIGN_ID,
        contact_id="contact-89",
        number_digest="0f6b1d2c3a4e5f60718293a4b5c6d7e8",
        reason="script_template asks for name: give it in variables",
        refused_at=_CREATED,
    ),
)
