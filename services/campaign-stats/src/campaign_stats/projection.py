"""The pure fold of events into call documents, campaign counters and campaign states.

A campaign's counters are the sums of what each of its calls contributes. A batch changes them by the difference between
the new and the old contributions of the calls that it changes. No transcript, phone number or script variable is kept:
personal data stays in the log. A keyed digest stands for the number, and this service has no key to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from campaign_stats.outcomes import (
    CountedCall,
    cause_after,
    counted_outcome,
    minute_of,
    outcome_of,
    stage_after_reply,
    stages_after,
)
from campaign_stats.provider_ids import DialledCall, provider_id_changes
from contracts import (
    Call,
    CallDecision,
    CallEvent,
    CallMessageWithdrawn,
    CallStatus,
    Campaign,
    CampaignContactsExpired,
    CampaignDecision,
    CampaignStatistics,
    CampaignStatus,
    ContactRefused,
    ConversationEnded,
    ConversationMode,
    Event,
    ReplyGenerated,
    VoicemailDelivery,
    reasons_of,
)

ALL = "*"
"""The id under which the sums of all campaigns are kept. Ids of campaigns contain no ``*``."""

COMPLETED_SECONDS = "completed_seconds"
"""The one counter that is not a field of `CampaignStatistics`: talk time of completed calls, for their average."""

COMPLETED_WITHOUT_DURATION = "completed_without_duration"
"""Completed calls that the average ignores. A campaign document has this counter only if it has such a call, so that
documents of earlier versions stay equal to rebuilt ones."""

OF_CONTACTS = ("contacts_refused", "contacts_expired")
"""What contacts without a call add. A campaign document has these counters only if they are not zero."""

WITHDRAWN = "withdrawn"
"""The result of a message that was withdrawn, because a person had answered."""
OF_MESSAGES = tuple(f"messages_{result}" for result in (*VoicemailDelivery, WITHDRAWN))
"""What messages to machines add. A campaign document has these counters only if a call of it had such a message."""

_OTHER_FIELDS = {"campaign_id", "average_duration_seconds", *OF_CONTACTS, *OF_MESSAGES}
COUNTERS = (*(set(CampaignStatistics.model_fields) - _OTHER_FIELDS), COMPLETED_SECONDS)
"""The counters of every campaign document with a call; a counter that is zero is present, too."""


class CallDocument(CountedCall, DialledCall):
    """One call as MongoDB stores it. `sequence` is that of the last applied event; earlier ones change nothing."""

    call_id: str
    sequence: int
    campaign_id: str
    contact_id: str
    number_digest: str | None = None
    """Keyed digest of the number, by which the calls of a number are found; none in logs of older builds."""
    mode: ConversationMode = ConversationMode.TURN_BASED
    reason: str | None
    duration_seconds: int | None
    created_at: datetime
    since: datetime
    due_at: datetime | None
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    message_result: str | None = None
    """What became of the last message to a machine: a `VoicemailDelivery`, or `WITHDRAWN`. Once there is one, it stays
    until another one, so that the counters do not depend on which events form a batch."""
    answered_turns: tuple[str, ...] = ()
    """``<attempt>/<turn>`` of each answered turn, once however often its reply was published; without the greeting."""


_OF_CALL = (CallDocument.model_fields.keys() & Call.model_fields.keys()) - {"call_id", "disposition"}
"""The fields of a call that its document has unchanged."""


class CampaignState(BaseModel):
    """Whether a campaign is paused, since when and why; of a created one, its name and status, too.

    Stored once the campaign has been created or paused.
    """

    model_config = ConfigDict(frozen=True)

    paused: bool
    since: datetime | None
    reason: str | None
    name: str | None = None
    status: CampaignStatus | None = None
    """None: it was never created."""


@dataclass(frozen=True, slots=True)
class Projected:
    """What a batch changes: call documents to replace, increments of the counters of campaigns and of `ALL`, and new
    states of campaigns. `refused`: the sequences of the events that were left out, each with its reasons. `outcomes`:
    increments of what is counted by campaign, and `ALL`, and minute."""

    documents: Mapping[str, CallDocument]
    increments: Mapping[str, Mapping[str, int]]
    campaigns: Mapping[str, CampaignState]
    refused: Mapping[int, Sequence[str]]
    outcomes: Mapping[tuple[str, datetime], Mapping[str, int]]


Refusals = Callable[[CallDocument | CampaignState], Sequence[str]]
"""Returns the reasons why a document cannot be stored; none if it can."""


def project(
    documents: Mapping[str, CallDocument], batch: Iterable[tuple[int, Event]], refusals: Refusals = lambda _: ()
) -> Projected:
    """Folds pairs of sequence and event, in the order of the log, into the documents of their calls.

    An event after which a document could not be stored changes nothing; the fold continues with the next event.
    """
    after = dict(documents)
    campaigns: dict[str, CampaignState] = {}
    refused: dict[int, Sequence[str]] = {}
    contacts: dict[str, Counter[str]] = {}
    outcomes: dict[tuple[str, datetime], Counter[str]] = {}
    for sequence, event in batch:
        for campaign in (event.campaign_id, ALL) if isinstance(event, ContactRefused | CampaignContactsExpired) else ():
            contacts.setdefault(campaign, Counter()).update(_contacts_in(event))
        before = after.get(call_of(event) or "")
        try:
            item = _state_of(event.campaign) if isinstance(event, CampaignDecision) else fold(before, sequence, event)
        except ValidationError as error:
            refused[sequence] = reasons_of(error)
            continue
        if item is None or item is before:
            continue
        if reasons := refusals(item):
            refused[sequence] = reasons
        elif isinstance(item, CallDocument):
            after[item.call_id] = item
            if isinstance(event, CallDecision) and (outcome := outcome_of(before, item)):
                for campaign in (item.campaign_id, ALL):
                    outcomes.setdefault((campaign, minute_of(event)), Counter())[outcome] += 1
        elif isinstance(event, CampaignDecision):
            campaigns[event.campaign_id] = item
    changed = {call_id: document for call_id, document in after.items() if document != documents.get(call_id)}
    increments = _with_contacts(_increments(documents, changed), contacts)
    return Projected(changed, increments, campaigns, refused, outcomes)


def _contacts_in(event: Event) -> dict[str, int]:
    """Returns what contacts without a call add to the counters."""
    match event:
        case ContactRefused():
            return {"contacts_refused": 1}
        case CampaignContactsExpired(count=count):
            return {"contacts_expired": count}
        case _:
            return {}


def _with_contacts(
    increments: Mapping[str, Mapping[str, int]], contacts: Mapping[str, Mapping[str, int]]
) -> dict[str, Mapping[str, int]]:
    """Returns the increments with those of contacts. A campaign that has no call yet gets every counter, too."""
    zeros = dict.fromkeys(COUNTERS, 0)
    with_contacts = {name: {**zeros, **increments.get(name, {}), **counts} for name, counts in contacts.items()}
    return {**increments, **with_contacts}


def _state_of(campaign: Campaign) -> CampaignState | None:
    """Returns the state of a campaign, or None if it was neither created nor paused."""
    if campaign.changed_at is None and campaign.terms is None:
        return None
    return CampaignState(
        paused=campaign.is_paused,
        since=campaign.changed_at,
        reason=campaign.reason,
        name=campaign.terms.name if campaign.terms else None,
        status=campaign.status if campaign.terms else None,
    )


def call_of(event: Event) -> str | None:
    """Returns the id of the call that the event is about, or None if it is about something else."""
    return str(event.call_id) if isinstance(event, CallDecision | CallEvent) else None


def fold(document: CallDocument | None, sequence: int, event: Event) -> CallDocument | None:
    """Returns the document after the event. Stale events and events of an unknown call change nothing."""
    if document is not None and sequence <= document.sequence:
        return document
    if isinstance(event, CallDecision):
        return _after_decision(document, sequence, event)
    return document.model_copy(update={"sequence": sequence, **_changes(document, event)}) if document else None


def _after_decision(document: CallDocument | None, sequence: int, event: CallDecision) -> CallDocument:
    call = event.call
    # A value of a wrong type is refused below; a warning would contain it.
    known = call.model_dump(include=_OF_CALL, warnings=False)
    renamed = {"never_rang": call.undialled_attempts, "since": call.status_changed_at}
    # Until the orchestrator decides on the end of the conversation, the conversation's own disposition is kept.
    same_attempt = document is not None and document.attempt == call.attempt
    earlier = document.disposition if document is not None and same_attempt else None
    return CallDocument(
        **known,
        **renamed,
        **stages_after(document, event),
        cause=cause_after(document, event),
        call_id=str(call.call_id),
        sequence=sequence,
        disposition=call.disposition or earlier,
        message_result=_message_result(event) or (document.message_result if document else None),
        answered_turns=document.answered_turns if document else (),
        provider_call_ids=document.provider_call_ids if document else (),
    )


def _message_result(event: CallDecision) -> str | None:
    if isinstance(event, CallMessageWithdrawn):
        return WITHDRAWN
    return event.call.voicemail_delivery.value if event.call.voicemail_delivery else None


def _changes(document: CallDocument, event: Event) -> dict[str, object]:
    if isinstance(event, ConversationEnded) and event.attempt == document.attempt and not document.disposition:
        return {"disposition": event.disposition}
    if isinstance(event, ReplyGenerated) and event.turn > 0:
        turn = f"{event.attempt}/{event.turn}"
        if turn not in document.answered_turns:
            answered = (*document.answered_turns, turn)
            return {"answered_turns": answered, "stage": stage_after_reply(document, event)}
    return provider_id_changes(document, event)


def contribution(document: CallDocument) -> dict[str, int]:
    """Returns what one call adds to each of `COUNTERS`, and to others if it counts there."""
    seconds, is_completed = document.duration_seconds or 0, document.status is CallStatus.COMPLETED
    status = CallStatus.IN_PROGRESS if document.status.is_live else document.status
    counts = {
        **dict.fromkeys(COUNTERS, 0),
        "total": 1,
        status.value: 1,
        "retries": max(document.attempt - document.never_rang - 1, 0),
        "duration_seconds": seconds,
        "turns": len(document.answered_turns),
        COMPLETED_SECONDS: seconds if is_completed else 0,
    }
    if is_completed and document.duration_seconds is None:
        counts[COMPLETED_WITHOUT_DURATION] = 1
    if document.message_result:
        counts |= {**dict.fromkeys(OF_MESSAGES, 0), f"messages_{document.message_result}": 1}
    return counts | counted_outcome(document)


def _increments(before: Mapping[str, CallDocument], changed: Mapping[str, CallDocument]) -> dict[str, Counter[str]]:
    """Returns new minus old contributions. A call that adds the same as before, to the same counters, is left out."""
    sums: dict[str, Counter[str]] = {}
    for call_id, document in changed.items():
        old = before.get(call_id)
        counts, former = contribution(document), contribution(old) if old else {}
        if counts == former and old and old.campaign_id == document.campaign_id:
            continue
        sums.setdefault(document.campaign_id, Counter()).update(counts)
        if old:
            sums.setdefault(old.campaign_id, Counter()).subtract(former)
    if sums:
        of_all = Counter[str]()
        for counts in list(sums.values()):
            of_all.update(counts)
        sums[ALL] = of_all
    return sums


def statistics(campaign_id: str | None, sums: Mapping[str, int]) -> CampaignStatistics:
    """Returns the statistics of a campaign from its counters; without counters, all are zero.

    The average duration is that of the completed calls whose duration is known.
    """
    timed = sums.get("completed", 0) - sums.get(COMPLETED_WITHOUT_DURATION, 0)
    average = sums.get(COMPLETED_SECONDS, 0) / timed if timed > 0 else 0.0
    return CampaignStatistics.model_validate({**sums, "campaign_id": campaign_id, "average_duration_seconds": average})
