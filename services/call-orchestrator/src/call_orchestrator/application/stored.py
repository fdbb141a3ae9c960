"""Loads calls and campaigns, and appends decisions on calls.

Each load is one read of the last event, from the leader. Each decision is one event, appended on the condition that the
loaded event is still the last one of the call (law 1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from call_orchestrator import metrics
from call_orchestrator.domain.pauses import Pauses
from call_orchestrator.ports import Log
from chassis.event_log import Guard, StoredEvent
from contracts import Call, CallDecision, Campaign, CampaignDecision, Envelope, Event
from contracts.filters import call_state_filter, campaign_state_filter

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredCall:
    """The last event of a call, its sequence, and its envelope."""

    event: CallDecision
    sequence: int
    envelope: Envelope

    @property
    def cause_id(self) -> str | None:
        """The id of the message that caused the event."""
        return self.envelope.causation_id

    @property
    def call(self) -> Call:
        """The call after the event."""
        return self.event.call


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    """A campaign and the sequence of its last event; 0 if it has none."""

    campaign: Campaign
    sequence: int


async def load_call(log: Log, call_id: UUID) -> StoredCall | None:
    """Returns the call as its last event carries it, or none."""
    return _stored_call(await log.last(call_state_filter(call_id)))


def newest_of(stored: StoredCall, history: Sequence[StoredEvent]) -> StoredCall:
    """Returns the call after the last decision in `history`, which was read later, if that is newer."""
    newer = [one for one in history if isinstance(one.event, CallDecision) and one.sequence > stored.sequence]
    return _stored_call(newer[-1]) or stored if newer else stored


def _stored_call(last: StoredEvent | None) -> StoredCall | None:
    if last is None or not isinstance(last.event, CallDecision):
        return None
    return StoredCall(last.event, last.sequence, last.envelope)


async def append_decision(log: Log, event: CallDecision, stored: StoredCall | None, cause: Envelope) -> StoredCall:
    """Appends a decision on the call `stored`, or on a new one. Returns the call after it. Raises Conflict."""
    guard = Guard(call_state_filter(event.call_id), stored.sequence if stored else 0)
    appended = await log.append(event, cause=cause, guard=guard)
    metrics.count_decision(stored.call if stored else None, event.call)
    call = event.call
    logger.info(
        "call_decided",
        event_name=event.event_name,
        call_id=str(call.call_id),
        status=call.status,
        attempt=call.attempt,
    )
    return StoredCall(event, appended.sequence, appended.envelope)


async def load_campaign(log: Log, campaign_id: str) -> StoredCampaign:
    """Returns the campaign as its last event carries it. A campaign without events is not paused."""
    last = await log.last(campaign_state_filter(campaign_id))
    if last is None or not isinstance(last.event, CampaignDecision):
        return StoredCampaign(Campaign(campaign_id=campaign_id), sequence=0)
    return StoredCampaign(last.event.campaign, last.sequence)


async def load_pauses(log: Log, campaign_id: str) -> Pauses:
    """Returns the pauses of a campaign. Reads all its events; they are few, and only a call that expires needs them."""
    return pauses_of(stored.event for stored in await log.read([campaign_state_filter(campaign_id)]))


def pauses_of(events: Iterable[Event]) -> Pauses:
    """Returns when the calls of a campaign had to wait, from its events: in a pause, and before its start and period.

    After the end of its period and after its finish the calls wait in vain, so their clock runs.
    """
    changes: list[tuple[bool, datetime]] = []
    opens_at: datetime | None = None
    for event in events:
        if isinstance(event, CampaignDecision):
            if opens_at and opens_at < event.occurred_at:
                changes.append((False, opens_at))
            campaign = event.campaign
            opens_at = None if campaign.is_held or campaign.finished_at else campaign.starts_at
            is_early = opens_at is not None and event.occurred_at < opens_at
            changes.append((campaign.is_held or is_early, event.occurred_at))
    return Pauses.of([*changes, (False, opens_at)] if opens_at else changes)
