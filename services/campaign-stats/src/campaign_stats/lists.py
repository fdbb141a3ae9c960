"""Lists of calls and campaigns, a page at a time, each read from the index that has its order.

**Calls** are listed from the newest to the oldest, by the instant of their creation and by their id. Both are constant.
So a page begins where the previous one ended, also if calls change meanwhile: no call appears twice, and each call that
matches all the time appears. New calls come before the first page.

Each permitted combination of filters has an index of its own (`EQUAL`). It begins with the fields of the filters, which
are compared for equality, and ends with the order. So MongoDB reads as many entries as the page has calls, and neither
sorts nor drops any, however many calls have one of the fields (ADR 57). An id of the provider has one call at most, so
the campaign needs no index with it. `CallListQuery` refuses other combinations.
A query that reads too long nevertheless ends after `MAX_QUERY_MILLISECONDS`.
"""

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor

from campaign_stats.documents import Document
from campaign_stats.projection import ALL, COMPLETED_WITHOUT_DURATION, COUNTERS, OF_CONTACTS, OF_MESSAGES, statistics
from contracts import (
    CallList,
    CallListQuery,
    CallStatus,
    CampaignList,
    CampaignListQuery,
    CampaignStatus,
    ProviderCallsQuery,
)
from contracts.queries import ListedCall, ListedCampaign

MAX_QUERY_MILLISECONDS = 2_000
"""Less than the edge waits for an answer."""
PROVIDER_CALL_IDS = "provider_call_ids"
"""The field of a call's document with an id for each attempt."""
EQUAL = (
    (PROVIDER_CALL_IDS,),
    ("number_digest", "campaign_id"),
    ("number_digest",),
    ("contact_id", "campaign_id"),
    ("contact_id",),
    ("campaign_id", "disposition", "status"),
    ("campaign_id", "disposition"),
    ("campaign_id", "status"),
    ("campaign_id",),
    ("disposition", "status"),
    ("disposition",),
    ("status",),
    (),
)
"""The first fields of each index: those that a query compares."""
_ORDER = ("created_at", "_id")
_PARTIAL: dict[str, Document] = {
    name: {name: {"$gt": ""}} for name in ("disposition", "number_digest", PROVIDER_CALL_IDS)
}
"""The calls in an index of this field. Most of a running campaign have no disposition, old ones no digest, and waiting
ones no id of the provider."""
BUSIEST_FIRST = ((CallStatus.IN_PROGRESS.value, DESCENDING), (CallStatus.PENDING.value, DESCENDING), ("_id", ASCENDING))
"""The order of campaigns by their open calls."""
SUMS = dict.fromkeys((*COUNTERS, *OF_CONTACTS, *OF_MESSAGES, COMPLETED_WITHOUT_DURATION), 1)
"""The counters of a campaign document."""
_CALL_FIELDS = dict.fromkeys(ListedCall.model_fields, 1) | {"never_rang": 1, "since": 1}


def call_indexes() -> list[IndexModel]:
    """Returns the indexes of the lists of calls."""
    return [
        IndexModel(
            [(name, ASCENDING) for name in (*fields, *_ORDER)],
            **({"partialFilterExpression": _PARTIAL[partial[0]]} if partial else {}),
        )
        for fields in EQUAL
        for partial in ([name for name in fields if name in _PARTIAL],)
    ]


def find_calls(calls: AsyncCollection[Document], query: CallListQuery) -> AsyncCursor[Document]:
    """Returns the cursor of a page, with one call more than the page has."""
    compared = {"number_digest", "campaign_id", "status", "disposition", "contact_id"}
    given = query.model_dump(include=compared, exclude_none=True, mode="json")
    names = set(given)
    if isinstance(query, ProviderCallsQuery):
        names, given = {PROVIDER_CALL_IDS}, {**given, PROVIDER_CALL_IDS: query.provider_call_id}
    index = next(fields for fields in EQUAL if names == set(fields))
    return (
        calls.find({**given, **_range_of(query)}, _CALL_FIELDS)
        .sort([(name, DESCENDING) for name in _ORDER])
        .hint([(name, ASCENDING) for name in (*index, *_ORDER)])
        .max_time_ms(MAX_QUERY_MILLISECONDS)
        .limit(query.limit + 1)
    )


def _range_of(query: CallListQuery) -> Document:
    """Returns the condition on the order. The instants of MongoDB have milliseconds."""
    created_at = {"$gte": query.created_after} if query.created_after else {}
    if (before := query.before) is None:
        return {"created_at": created_at} if created_at else {}
    earlier: list[Document] = [{"created_at": {"$lt": before.created_at}}, {"_id": {"$lt": str(before.call_id)}}]
    return {"created_at": {**created_at, "$lte": before.created_at}, "$or": earlier}


async def list_calls(calls: AsyncCollection[Document], query: CallListQuery) -> CallList:
    """Returns one page of calls."""
    found = await find_calls(calls, query).to_list()
    return CallList(
        calls=tuple(_listed_call(document) for document in found[: query.limit]), has_more=len(found) > query.limit
    )


def _listed_call(document: Document) -> ListedCall:
    renamed = {
        "call_id": document["_id"],
        "undialled_attempts": document.get("never_rang", 0),
        "status_changed_at": document["since"],
    }
    return ListedCall.model_validate({**document, **renamed})


def busiest_campaigns(campaigns: AsyncCollection[Document], limit: int) -> AsyncCursor[Document]:
    """Returns the cursor of the counters of the campaigns with most open calls, read from an index in that order."""
    return campaigns.find({}, SUMS).sort(BUSIEST_FIRST).hint(BUSIEST_FIRST).limit(limit)


async def list_campaigns(campaigns: AsyncCollection[Document], query: CampaignListQuery) -> CampaignList:
    """Returns one page of campaigns in the order of their ids."""
    ids: Document = {"$gt": query.after or ALL}
    if query.campaign_ids is not None:
        ids["$in"] = list(query.campaign_ids)
    fields = {**SUMS, "paused": 1, "since": 1, "reason": 1, "name": 1, "status": 1}
    cursor = campaigns.find({"_id": ids}, fields).sort("_id", ASCENDING)
    found = await cursor.max_time_ms(MAX_QUERY_MILLISECONDS).limit(query.limit + 1).to_list()
    listed = tuple(_listed_campaign(document) for document in found[: query.limit])
    return CampaignList(campaigns=listed, has_more=len(found) > query.limit)


def _listed_campaign(document: Mapping[str, Any]) -> ListedCampaign:
    counters = {name: document[name] for name in SUMS if name in document}
    is_paused = document.get("paused", False)
    return ListedCampaign(
        campaign_id=document["_id"],
        name=document.get("name"),
        status=document.get("status") or (CampaignStatus.PAUSED if is_paused else CampaignStatus.UNDECLARED),
        is_paused=is_paused,
        changed_at=document.get("since"),
        reason=document.get("reason"),
        statistics=statistics(document["_id"], counters),
    )
