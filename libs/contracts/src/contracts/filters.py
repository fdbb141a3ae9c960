"""What is read of a stream: the filters of each reader, and the id in a subject."""

import json

from contracts.event import CampaignDecision, CampaignEvent, ChainEvent, Event
from contracts.events import EVENTS
from contracts.events.admissions import AdmissionGranted, AdmissionReleased
from contracts.events.audio import AudioRequested
from contracts.events.calls import CallStatusChanged
from contracts.events.contacts import ContactGroupAdded, ContactRefused
from contracts.events.conversations import (
    ConversationEnded,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from contracts.events.dials import DialClaimed, DialCleared, DialLookedUp, DialPlaced, DialRefused, DialUnknown
from contracts.events.media import MediaOpened
from contracts.events.requests import CallRequested
from contracts.events.transfers import TransferRequested
from contracts.personal import json_and_sealed
from contracts.values import call_id_of
from contracts.vocabulary import FINAL_STATUSES, LIVE_STATUSES, CallStatus


def call_filters(call_id: object) -> tuple[str, str]:
    """Returns the two filters that match every event of one call in the stream CALLS."""
    return call_state_filter(call_id), call_facts_filter(call_id)


def call_facts_filter(call_id: object) -> str:
    """Returns the filter that matches the facts of one call: all of its events but the decisions."""
    return f"*.*.{call_id}"


def call_state_filter(call_id: object) -> str:
    """Returns the filter for the decisions on a call: its last message is the state, its sequence the guard (law 1)."""
    return f"call.*.{call_id}.*"


def call_commands_filter(call_id: object) -> str:
    """Returns the filter for the commands of a call in the stream REQUESTS."""
    return f"call.*.{call_id}"


def campaign_state_filter(campaign_id: object) -> str:
    """Returns the filter for the decisions on a campaign in the stream CALLS; ``*``: on every campaign."""
    return f"campaign.*.{campaign_id}"


_OF_CAMPAIGNS = frozenset(name for name, event in EVENTS.items() if issubclass(event, CampaignEvent | CampaignDecision))
_CHAINS = frozenset(name for name, event in EVENTS.items() if issubclass(event, ChainEvent))


def subject_ids(subject: str) -> dict[str, str]:
    """Returns the id in a subject by its name (``call_id``, ``campaign_id``, ``number_digest``); empty: it has none."""
    family, fact, *rest = subject.split(".")
    is_of_campaign = family == "campaign" or f"{family}.{fact}" in _OF_CAMPAIGNS
    name = "campaign_id" if is_of_campaign else "number_digest" if family in ("number", "person") else "call_id"
    return {name: rest[0]} if rest else {}


def message_ids(subject: str, body: bytes) -> dict[str, str]:
    """As `subject_ids`; the id of an event of a chain is in its body."""
    if subject not in _CHAINS:
        return subject_ids(subject)
    try:
        return {"call_id": str(json.loads(body)["call_id"])}
    except (ValueError, KeyError, TypeError):
        return {}


def call_of_message(subject: str, body: bytes, identity: str) -> str | None:
    """Returns the id of the call that a message is about; None if it is about something else.

    The id of a request's call is derived from its request id; a request without one has its `identity` (``ce-id``).
    """
    if subject != CallRequested.event_name:
        return message_ids(subject, body).get("call_id")
    try:
        request = json.loads(json_and_sealed(body)[0])
    except (ValueError, RecursionError):
        request = None
    request_id = request.get("request_id") if isinstance(request, dict) else None
    return str(call_id_of(str(request_id or identity)))


_SLOT_EVENTS: tuple[type[Event], ...] = (AdmissionGranted, AdmissionReleased, DialClaimed)
SLOT_FILTERS = (
    *(f"call.*.*.{status}" for status in CallStatus if status not in LIVE_STATUSES),
    *(subject for event in _SLOT_EVENTS for subject in (event.subjects(), *event.former_subjects())),
)
"""What call-orchestrator reads of CALLS to compute which slots are occupied."""
CAMPAIGN_FILTERS = (campaign_state_filter("*"),)
"""What call-orchestrator reads of CALLS to know which campaigns are paused."""
CONTACT_GROUP_FILTERS = (ContactGroupAdded.subjects(),)
"""What call-orchestrator reads of CONTACTS to know which groups of contacts exist."""
DIAL_FILTERS = tuple(
    subject
    for event in (DialCleared, DialPlaced, DialRefused, DialUnknown)
    for subject in (event.subjects(), *event.former_subjects())
)
"""What voice reads of CALLS to compute the permits of the rate limit."""
ENDED_CALL_FILTERS = tuple(f"{CallStatusChanged.event_name}.*.{status}" for status in sorted(FINAL_STATUSES))
"""What voice follows of CALLS to remove the clips of a call once it has ended."""
ANSWERED_CALL_FILTERS = (f"{CallStatusChanged.event_name}.*.{CallStatus.IN_PROGRESS}",)
"""What voice follows of CALLS to store the greeting of an answered call, and conversation to open a connection."""
TURN_FILTERS = (AudioRequested.subjects(), ReplyGenerated.subjects(), TransferRequested.subjects())
"""What voice reads of CALLS to speak the sentences of a turn, and to know what follows them."""
LIVE_FILTERS = (
    *TURN_FILTERS,
    *(event.subjects() for event in (SpeechHeard, ConversationEnded, MediaOpened)),
)
"""What voice follows of CALLS to conduct live conversations."""
INTERRUPTION_FILTERS = (SpeechInterrupted.subjects(),)
"""What conversation follows of CALLS to stop a reply that is not heard any more."""
PLAYED_FILTERS = (SpeechPlayed.subjects(),)
"""What conversation follows of CALLS to read a turn before the callee has spoken."""
DECISION_FILTERS = (call_state_filter("*"), campaign_state_filter("*"))
"""The decisions on all calls and campaigns, each with the call or the campaign after it."""
PROJECTION_FILTERS = (
    call_state_filter("*"),
    ReplyGenerated.subjects(),
    ConversationEnded.subjects(),
    DialPlaced.subjects(),
    DialLookedUp.subjects(),
    campaign_state_filter("*"),
    ContactRefused.subjects(),
)
"""What campaign-stats reads of CALLS. It has no durable consumer: its checkpoint is in MongoDB (ADR 6)."""
