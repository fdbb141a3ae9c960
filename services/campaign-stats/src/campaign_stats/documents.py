"""The documents as MongoDB stores them, and why it cannot store one.

`refusals` is a function of one document only. So replicas and a rebuild refuse the same events, in batches of any size.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import bson
from bson.errors import BSONError
from pymongo import UpdateOne

from campaign_stats.projection import COUNTERS, CallDocument, CampaignState, Projected
from contracts import ConversationMode

MAX_COUNT = 2**31 - 1
"""A call adds at most this to a counter. A counter has 64 bits, so it cannot overflow before 2³² calls."""
MAX_DOCUMENT_BYTES = 15 * 1024 * 1024
"""MongoDB accepts 16 MB. The rest is for what the server adds to the document, and for the command around it."""
ENCODING_ERRORS = (BSONError, OverflowError, UnicodeError)
"""The errors of ``bson`` for a value that BSON cannot represent."""

Document = dict[str, Any]
_OPTIONAL = ("message_result", "number_digest", "stage", "earlier_stage", "cause", "provider_call_ids", "mode")
_ABSENT = (None, (), ConversationMode.TURN_BASED)
"""The values of those fields that documents leave out."""


class Span(Enum):
    """The span of a document of outcomes: the length of a part, and the formats of its id and of the names of parts."""

    DAY = timedelta(hours=1), "%Y-%m-%d", "%H"
    HOUR = timedelta(minutes=1), "%Y-%m-%dT%H", "%M"

    def __init__(self, length: timedelta, identity: str, part: str) -> None:
        self.length = length
        self.identity = identity
        self.part = part

    def document_id(self, campaign: str, instant: datetime) -> str:
        """Returns the id of the document of an instant, such as ``spring/2026-11-29`` or ``spring/2026-11-29T20``."""
        return f"{campaign}/{instant:{self.identity}}"

    def begin(self, document_id: str) -> datetime:
        """Returns the beginning of a document."""
        return datetime.strptime(document_id.rpartition("/")[2], self.identity).replace(tzinfo=UTC)


def written(call: CallDocument) -> Document:
    """Returns the document of a call, without those of the optional fields that it does not have.

    So the documents of calls without them stay equal to those of older builds.
    """
    absent = {name for name in _OPTIONAL if getattr(call, name) in _ABSENT}
    fields = call.model_dump(exclude={"call_id"} | absent)
    if call.provider_call_ids:
        fields["provider_call_ids"] = list(call.provider_call_ids)
    if "mode" in fields:
        fields["mode"] = call.mode.value
    return {
        **fields,
        "_id": call.call_id,
        "status": call.status.value,
        "disposition": call.disposition.value if call.disposition else None,
        "answered_turns": list(call.answered_turns),
        "turns": len(call.answered_turns),
    }


def written_state(state: CampaignState) -> Document:
    """Returns the fields of a campaign's state. Those of a created campaign are left out of every other one."""
    fields = state.model_dump(exclude={"name", "status"})
    return {**fields, "name": state.name, "status": state.status.value} if state.status else fields


def read(document: Document) -> CallDocument:
    """Returns the call of a document."""
    return CallDocument.model_validate({**document, "call_id": document["_id"]})


def updates(projected: Projected) -> Iterator[UpdateOne]:
    """Yields the update of each campaign: its state and the increments of its counters.

    If only its state changes, increments of 0 create the counters that it lacks.
    """
    for campaign in projected.increments.keys() | projected.campaigns.keys():
        update: Document = {"$inc": dict(projected.increments.get(campaign) or dict.fromkeys(COUNTERS, 0))}
        if state := projected.campaigns.get(campaign):
            update["$set"] = written_state(state)
        yield UpdateOne({"_id": campaign}, update, upsert=True)


def outcome_updates(projected: Projected) -> Iterator[UpdateOne]:
    """Yields the updates of the outcomes of each campaign: a document of the day by hours, one of the hour by minutes.

    So a document has at most 60 parts: its size and the cost of an update do not grow with the log.
    """
    increments: dict[str, Counter[str]] = {}
    for (campaign, minute), counts in projected.outcomes.items():
        for span in Span:
            parts = increments.setdefault(span.document_id(campaign, minute), Counter())
            for name, count in counts.items():
                parts[f"{minute:{span.part}}.{name}"] += count
    for identity, parts in increments.items():
        yield UpdateOne({"_id": identity}, {"$inc": dict(parts)}, upsert=True)


def refusals(item: CallDocument | CampaignState) -> list[str]:
    """Returns why MongoDB cannot store the item: a line per field, without any value. An empty list: it can."""
    document = written(item) if isinstance(item, CallDocument) else written_state(item)
    try:
        size = len(bson.encode(document))
    except ENCODING_ERRORS:
        return [reason for name, value in document.items() for reason in _refusals_of_field(name, value)]
    if size > MAX_DOCUMENT_BYTES:
        return [f"the document has {size} bytes; MongoDB stores at most {MAX_DOCUMENT_BYTES}"]
    counts = {"attempt", "never_rang", "duration_seconds"} & document.keys()
    return [
        f"{name}: not between -{MAX_COUNT} and {MAX_COUNT}"
        for name in sorted(counts)
        if not -MAX_COUNT <= (document[name] or 0) <= MAX_COUNT
    ]


def _refusals_of_field(name: str, value: object) -> Iterator[str]:
    try:
        bson.encode({name: value})
    except ENCODING_ERRORS as error:
        yield f"{name}: MongoDB cannot store the value ({type(error).__name__})"
