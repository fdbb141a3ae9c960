"""Builds events and envelopes."""

from datetime import datetime

from tests.builders.calls import NOW

from contracts import (
    Call,
    CallCreated,
    CallStatus,
    CallStatusChanged,
    Campaign,
    CampaignPaused,
    CampaignResumed,
    Envelope,
)


def call_created(call: Call) -> CallCreated:
    """Returns the event that created the call."""
    return CallCreated(call=call, occurred_at=call.created_at)


def status_changed(call: Call, *, previous: CallStatus = CallStatus.PENDING) -> CallStatusChanged:
    """Returns the event by which the call came into its status."""
    return CallStatusChanged(
        call=call, occurred_at=call.status_changed_at, previous=previous, status=call.status, attempt=call.attempt
    )


def campaign_paused(campaign_id: str, *, reason: str | None = None, at: datetime = NOW) -> CampaignPaused:
    """Returns the event that paused the campaign."""
    return CampaignPaused(campaign=Campaign(campaign_id=campaign_id).paused(at, reason), occurred_at=at)


def campaign_resumed(campaign_id: str, *, at: datetime = NOW) -> CampaignResumed:
    """Returns the event that resumed the campaign."""
    return CampaignResumed(campaign=Campaign(campaign_id=campaign_id).resumed(at), occurred_at=at)


def an_envelope(id: str = "cause-1") -> Envelope:
    """Returns the envelope of a message with this id, such as the cause of an event."""
    return Envelope.read({}, id=id, time=NOW)
