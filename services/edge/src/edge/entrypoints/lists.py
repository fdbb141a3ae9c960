"""The REST API that lists calls and campaigns, from MongoDB."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from contracts import (
    CallListQuery,
    CallStatus,
    CampaignId,
    CampaignStatus,
    ContactId,
    ConversationMode,
    Disposition,
    PhoneNumber,
)
from contracts.instants import Instant
from contracts.provider_calls import ONE_ATTEMPT, ProviderCallsQuery
from contracts.queries import MAX_LIST, ONE_PERSON, ListedCall, ListedCampaign
from contracts.values import ProviderCallId
from edge.application.lists import Lists, parse_call_cursor, parse_campaign_cursor
from edge.application.number_search import NumberSearch
from edge.entrypoints.campaign_resources import CallMetrics
from edge.entrypoints.scopes import PREFIX, CampaignListRoute, ReadRoute, create_router, key_of

calls_router = create_router(ReadRoute, "/calls", "Calls")
campaigns_router = create_router(CampaignListRoute, "/campaigns", "Campaigns")

T = TypeVar("T")

Cursor = Annotated[
    str | None, Query(max_length=400, description="where the page begins; set by `next`, default: at the start")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIST, description="maximum number of items")]


class CallSummary(BaseModel):
    """One call of a list, without its number and its texts. Durations are in seconds, instants in UTC."""

    id: UUID
    campaign_id: str
    contact_id: str
    status: CallStatus
    created_at: datetime
    status_changed_at: datetime = Field(description="when this status began")
    scheduled_at: datetime | None = Field(description="before the first attempt: not dialled before this instant")
    next_attempt_at: datetime | None = Field(description="waiting to be dialled again: not before this instant")
    dialed_at: datetime | None = Field(description="when the latest attempt began")
    answered_at: datetime | None
    ended_at: datetime | None
    attempts: int = Field(description="attempts so far, including those that never reached the network")
    retry_attempts: int = Field(description="times that it was dialled after the first")
    duration: int | None = Field(description="talk time of all attempts in seconds, as the provider bills it")
    disposition: Disposition | None = Field(description="how the conversation ended")
    reason: str | None = Field(description="why the call has this status")
    provider_call_ids: list[str] = Field(description="the telephone provider's ids of its attempts")
    mode: ConversationMode = Field(description="how its conversation is held")

    @classmethod
    def of(cls, call: ListedCall) -> "CallSummary":
        """Returns the public form of a listed call."""
        shared = call.model_dump(include=set(cls.model_fields))
        return cls(
            **shared,
            id=call.call_id,
            scheduled_at=call.due_at if call.attempt == 0 else None,
            next_attempt_at=call.due_at if call.attempt else None,
            attempts=call.attempt,
            retry_attempts=max(0, call.attempt - call.undialled_attempts - 1),
            duration=call.duration_seconds,
        )


class CampaignSummary(BaseModel):
    """One campaign of a list, with the counters of its calls."""

    campaign_id: str
    name: str | None = Field(description="for people, if it was created with a name")
    status: CampaignStatus = Field(description="undeclared: it was never created, and is not paused")
    paused: bool
    since: datetime | None = Field(description="when it was paused or resumed; null: never")
    reason: str | None = Field(description="why it is paused, if a reason was given")
    calls: CallMetrics

    @classmethod
    def of(cls, campaign: ListedCampaign) -> "CampaignSummary":
        """Returns the public form of a listed campaign."""
        return cls(
            campaign_id=campaign.campaign_id,
            name=campaign.name,
            status=campaign.status,
            paused=campaign.is_paused,
            since=campaign.changed_at,
            reason=campaign.reason,
            calls=CallMetrics.of(campaign.statistics),
        )


class CallPageResource(BaseModel):
    """Calls from the newest to the oldest."""

    calls: list[CallSummary]
    next: str | None = Field(description="path of the next page; null: this is the last one")


class NumberToFind(BaseModel):
    """The number whose calls are searched. It is in the body, because paths are in the logs of proxies."""

    model_config = ConfigDict(extra="forbid")

    phone_number: PhoneNumber = Field(description="E.164")


class CampaignPageResource(BaseModel):
    """Campaigns in the order of their ids."""

    campaigns: list[CampaignSummary]
    next: str | None = Field(description="path of the next page; null: this is the last one")


async def _lists(request: Request) -> Lists:
    lists: Lists = request.app.state.lists
    return lists


ListsDependency = Annotated[Lists, Depends(_lists)]


@calls_router.get("", response_model=CallPageResource)
async def list_calls(
    lists: ListsDependency,
    campaign_id: CampaignId | None = None,
    status: CallStatus | None = None,
    disposition: Disposition | None = None,
    contact_id: Annotated[ContactId | None, Query()] = None,
    provider_call_id: Annotated[
        ProviderCallId | None, Query(description="the telephone provider's id of an attempt, such as CA… of Twilio")
    ] = None,
    created_after: Annotated[Instant | None, Query(description="not before this instant")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> CallPageResource:
    """Lists the calls that match each given field, newest first. They may be a moment behind the log.

    A call that is created meanwhile changes no page after the first. `/calls/{id}` has the number and the texts.
    The calls of a contact are filtered by their campaign only, and so is the call of an id of the telephone provider.
    """
    filters = {"status": status, "disposition": disposition}
    if provider_call_id:
        _refuse({**filters, "contact_id": contact_id}, ONE_ATTEMPT)
    elif contact_id:
        _refuse(filters, ONE_PERSON)
    given = {
        **filters,
        "campaign_id": campaign_id,
        "contact_id": contact_id,
        "created_after": created_after,
        "before": _parsed(parse_call_cursor, cursor),
        "limit": limit,
    }
    query = (
        ProviderCallsQuery.model_validate({**given, "provider_call_id": provider_call_id})
        if provider_call_id
        else CallListQuery.model_validate(given)
    )
    page = await lists.calls(query)
    named = query.model_dump(mode="json", exclude={"before"}, exclude_none=True)
    return CallPageResource(
        calls=[CallSummary.of(call) for call in page.calls], next=_path("calls", named, page.next_cursor)
    )


@calls_router.post("/search", response_model=CallPageResource)
async def search_calls(
    request: Request,
    named: NumberToFind,
    campaign_id: CampaignId | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> CallPageResource:
    """Lists the calls of a phone number, newest first: those that have it now, or had it when they ended.

    They may be a moment behind the log. Send the same body to `next`. Each search is audited, with the digest of the
    number. Calls of builds without this search are found once `centralita replay rebuild` has run. A call that was
    archived is found, and its story and events are in the archive only.
    """
    search: NumberSearch = request.app.state.number_search
    before = _parsed(parse_call_cursor, cursor)
    query = search.query(named.phone_number, campaign_id=campaign_id, before=before, limit=limit)
    page = await search.calls(key_of(request).name, query)
    given = query.model_dump(mode="json", include={"campaign_id", "limit"}, exclude_none=True)
    return CallPageResource(
        calls=[CallSummary.of(call) for call in page.calls], next=_path("calls/search", given, page.next_cursor)
    )


@campaigns_router.get("", response_model=CampaignPageResource)
async def list_campaigns(
    request: Request, lists: ListsDependency, cursor: Cursor = None, limit: Limit = 100
) -> CampaignPageResource:
    """Lists the campaigns that have calls, were created or were paused, as campaign-stats has projected them.

    A key that is limited to campaigns lists only these.
    """
    after = _parsed(parse_campaign_cursor, cursor)
    page = await lists.campaigns(key_of(request).campaigns, after=after, limit=limit)
    return CampaignPageResource(
        campaigns=[CampaignSummary.of(campaign) for campaign in page.campaigns],
        next=_path("campaigns", {"limit": limit}, page.next_cursor),
    )


def _refuse(filters: Mapping[str, object], reason: str) -> None:
    """Raises RequestValidationError if one of the filters is given."""
    for name, value in filters.items():
        if value is not None:
            raise RequestValidationError([{"type": "value_error", "loc": ("query", name), "msg": reason}])


def _parsed(parse: Callable[[str], T], cursor: str | None) -> T | None:
    if cursor is None:
        return None
    try:
        return parse(cursor)
    except ValueError:
        remedy = "not a cursor of this list; follow `next` of the previous page, or leave it out"
        raise RequestValidationError([{"type": "value_error", "loc": ("query", "cursor"), "msg": remedy}]) from None


def _path(name: str, query: dict[str, object], cursor: str | None) -> str | None:
    return f"{PREFIX}/{name}?{urlencode({**query, 'cursor': cursor})}" if cursor else None
