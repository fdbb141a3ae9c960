"""The fold of events into call documents, what each counts for in its campaign, and how campaigns stand. Pure.

No transcript, number or variable of a script is kept: personal data stays in the log.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from contracts import (
    CallDecision,
    CallEvent,
    CallStatus,
    Campaign,
    CampaignDecision,
    CampaignStatistics,
    ConversationEnded,
    Disposition,
    Event,
    ReplyGenerated,
)

ALL = "*"
"""Stands for all campaigns where a campaign's id stands; no id can be it, since ids have no ``*``."""

COMPLETED_SECONDS = "completed_seconds"
"""The one counter that is no field of `CampaignStatistics`: talk time of completed calls, for their average."""

COUNTERS = (*(set(CampaignStatistics.model_fields) - {"campaign_id", "average_duration_seconds"}), COMPLETED_SECONDS)
"""Every sum that a campaign's document holds, from its first call on: none is ever missing, some are zero."""


class CallDocument(BaseModel):
    """One call as MongoDB has it. `sequence` is where the log stood; an event that is not after it is known already."""

    model_config = ConfigDict(frozen=True)

    call_id: str
    sequence: int
    campaign_id: str
    contact_id: str
    status: CallStatus
    attempt: int
    never_rang: int = 0
    reason: str | None
    disposition: Disposition | None
    duration_seconds: int | None
    created_at: datetime
    since: datetime
    due_at: datetime | None
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    answered_turns: tuple[str, ...] = ()
    """``<attempt>/<turn>`` of every reply, each once however often it was published; turn 0, the greeting, is none."""


class CampaignStanding(BaseModel):
    """What a campaign's document says beside its sums, once it was ever paused. `reason`: why it is paused."""

    model_config = ConfigDict(frozen=True)

    paused: bool
    since: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class Projected:
    """What a batch changes: documents to be written whole, sums to be added to each campaign's (and to `ALL`), and the
    standings that campaigns have now."""

    documents: Mapping[str, CallDocument]
    increments: Mapping[str, Mapping[str, int]]
    standings: Mapping[str, CampaignStanding]


def project(documents: Mapping[str, CallDocument], batch: Iterable[tuple[int, Event]]) -> Projected:
    """Folds ``(sequence, event)`` pairs, in the order of the log, into the documents of what they are about."""
    after = dict(documents)
    standings: dict[str, CampaignStanding] = {}
    for sequence, event in batch:
        if isinstance(event, CampaignDecision) and (standing := _standing(event.campaign)):
            standings[event.campaign_id] = standing
        call_id = call_of(event)
        document = fold(after.get(call_id or ""), sequence, event)
        if document is not None:
            after[document.call_id] = document
    changed = {call_id: document for call_id, document in after.items() if document != documents.get(call_id)}
    return Projected(changed, _increments(documents, changed), standings)


def _standing(campaign: Campaign) -> CampaignStanding | None:
    """Whether the campaign is paused; none if it was never paused."""
    if campaign.changed_at is None:
        return None
    return CampaignStanding(paused=campaign.is_paused, since=campaign.changed_at, reason=campaign.reason)


def call_of(event: Event) -> str | None:
    """The call that an event is about; none for events about something else."""
    return str(event.call_id) if isinstance(event, CallDecision | CallEvent) else None


def fold(document: CallDocument | None, sequence: int, event: Event) -> CallDocument | None:
    """The document after the event. Facts of a call that was never created change nothing, nor do stale events."""
    if document is not None and sequence <= document.sequence:
        return document
    if isinstance(event, CallDecision):
        return _as_it_stands(document, sequence, event)
    if document is None:
        return None
    return document.model_copy(update={"sequence": sequence, **_said(document, event)})


def _as_it_stands(document: CallDocument | None, sequence: int, event: CallDecision) -> CallDocument:
    call = event.call
    known = call.model_dump(include=set(CallDocument.model_fields) - {"call_id", "disposition"})
    renamed = {"never_rang": call.undialled_attempts, "since": call.status_changed_at}
    # Between the end of the conversation and the orchestrator's word on it, the conversation's disposition holds.
    same_attempt = document is not None and document.attempt == call.attempt
    earlier = document.disposition if document is not None and same_attempt else None
    return CallDocument(
        **known,
        **renamed,
        call_id=str(call.call_id),
        sequence=sequence,
        disposition=call.disposition or earlier,
        answered_turns=document.answered_turns if document else (),
    )


def _said(document: CallDocument, event: Event) -> dict[str, object]:
    if isinstance(event, ConversationEnded) and event.attempt == document.attempt and not document.disposition:
        return {"disposition": event.disposition}
    if isinstance(event, ReplyGenerated) and event.turn > 0:
        turn = f"{event.attempt}/{event.turn}"
        if turn not in document.answered_turns:
            return {"answered_turns": (*document.answered_turns, turn)}
    return {}


def contribution(document: CallDocument) -> dict[str, int]:
    """What one call counts for: a number for each of `COUNTERS`."""
    seconds = document.duration_seconds or 0
    status = CallStatus.IN_PROGRESS if document.status.is_live else document.status
    return {
        **dict.fromkeys(COUNTERS, 0),
        "total": 1,
        status.value: 1,
        "retries": max(document.attempt - document.never_rang - 1, 0),
        "duration_seconds": seconds,
        "turns": len(document.answered_turns),
        COMPLETED_SECONDS: seconds if document.status is CallStatus.COMPLETED else 0,
    }


def _increments(before: Mapping[str, CallDocument], changed: Mapping[str, CallDocument]) -> dict[str, Counter[str]]:
    """New contributions minus old ones; campaigns whose sums stay as they are do not appear."""
    sums: dict[str, Counter[str]] = {}
    for call_id, document in changed.items():
        for campaign in (document.campaign_id, ALL):
            sums.setdefault(campaign, Counter()).update(contribution(document))
        if old := before.get(call_id):
            for campaign in (old.campaign_id, ALL):
                sums.setdefault(campaign, Counter()).subtract(contribution(old))
    return {campaign: counts for campaign, counts in sums.items() if any(counts.values())}


def statistics(campaign_id: str | None, sums: Mapping[str, int]) -> CampaignStatistics:
    """The answer made from a campaign's sums; with none of them, all zero."""
    completed = sums.get("completed", 0)
    average = sums.get(COMPLETED_SECONDS, 0) / completed if completed else 0.0
    return CampaignStatistics.model_validate({**sums, "campaign_id": campaign_id, "average_duration_seconds": average})
