"""The list of calls: filters and pages are those of the REST API."""

import asyncio
import re
from collections.abc import Awaitable
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import Api, PostedForm
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure
from centralita_console.rest_values import as_utc, next_cursor
from contracts import CallStatus, Disposition

router = APIRouter()
PAGE = 50
MAX_FOUND = 200
MAX_WANTED_LENGTH = 400
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_NUMBER_LIKE = re.compile(r"\+?[0-9]{7,}")
"""May be a number without its country, or with a wrong digit; also the id of a contact."""
_PROVIDER_ID = re.compile("CA[0-9a-fA-F]{32}")
"""The id that Twilio gives an attempt."""
_SEPARATORS = re.compile(r"[\s().-]")
NEEDS_CAMPAIGN = "campaign-not-allowed"
Text = Annotated[str, Query(max_length=400)]


@router.get("/calls")
async def list_calls(
    request: Request,
    api: Api,
    campaign_id: Text = "",
    status: Text = "",
    disposition: Text = "",
    contact_id: Text = "",
    provider_call_id: Text = "",
    created_after: Text = "",
    cursor: Text = "",
) -> Response:
    """Lists calls, newest first. A wrong filter is named above the empty list."""
    filters = {
        "campaign_id": campaign_id.strip(),
        "status": status,
        "disposition": disposition,
        "contact_id": contact_id.strip(),
        "provider_call_id": provider_call_id.strip(),
        "created_after": created_after.strip(),
    }
    asked: dict[str, str | int] = {**filters, "created_after": as_utc(filters["created_after"]), "cursor": cursor}
    asked["limit"] = PAGE
    answer, campaigns = await asyncio.gather(_answer_or_problem(api.get("/calls", asked)), campaign_ids(api))
    page, problem = answer
    return render(
        request,
        "calls.html",
        422 if problem else 200,
        filters=filters,
        page=page,
        problem=problem,
        campaigns=campaigns,
        next_cursor=next_cursor(page),
        is_first=not cursor,
        statuses=list(CallStatus),
        dispositions=list(Disposition),
        is_selectable=True,
    )


@router.get("/find")
async def find(request: Request, api: Api, q: Text = "") -> Response:
    """Opens a call by its id, its request id or the provider's id of an attempt; otherwise lists those of a contact."""
    wanted = q.strip()
    if not wanted.strip("."):  # a path would lose such a segment
        return RedirectResponse("/calls", 303)
    if _PROVIDER_ID.fullmatch(wanted):
        return await _find_attempt(request, api, f"CA{wanted[2:].lower()}")
    has_slash = "/" in wanted  # no id of a call or a request has one, and it would name a part of a call
    for path in () if has_slash else (f"/calls/{_segment(wanted)}", f"/calls/by-request/{_segment(wanted)}"):
        try:
            return RedirectResponse(f"/calls/{(await api.get(path))['id']}", 303)
        except RestFailure as failure:
            if failure.status not in (404, 422):
                raise
    return await list_calls(request, api, contact_id=wanted)


async def _find_attempt(request: Request, api: RestClient, wanted: str) -> Response:
    """Opens the call of an attempt. The key of certain campaigns chooses one in the list, as the problem there says."""
    page, problem = await _answer_or_problem(api.get("/calls", {"provider_call_id": wanted, "limit": 1}))
    if problem:
        return await list_calls(request, api, provider_call_id=wanted)
    for call in page["calls"]:
        if wanted in call.get("provider_call_ids", ()):  # an older edge lists other calls
            return RedirectResponse(f"/calls/{call['id']}", 303)
    return render(request, "provider_id.html", 404, wanted=wanted)


@router.post("/find")
async def find_number(request: Request, fields: PostedForm, api: Api) -> Response:
    """Lists the calls of a telephone number; another text is searched as by `find`, at an address of its own.

    A number is only in the body: addresses are in the history of browsers and in the logs of proxies. So a text that
    may be a number, and is none that can be searched, is not sent on.
    """
    wanted = fields.get("q", "").strip()[:MAX_WANTED_LENGTH]
    number = _SEPARATORS.sub("", wanted)
    if not _NUMBER.fullmatch(number):
        if _NUMBER_LIKE.fullmatch(number):
            return render(request, "unclear_number.html", 422, wanted=wanted)
        return RedirectResponse(f"/find?{urlencode({'q': wanted})}", 303)
    page, problem = await _answer_or_problem(api.post(f"/calls/search?limit={MAX_FOUND}", {"phone_number": number}))
    shown = {"page": page, "problem": problem, "number": number, "filters": {}, "is_selectable": False}
    return render(request, "found.html", 422 if problem else 200, **shown)


async def _answer_or_problem(request: Awaitable[Any]) -> tuple[dict[str, Any], str]:
    """Returns a page of calls, or an empty one and what is wrong with the request."""
    try:
        page: dict[str, Any] = await request
    except RestFailure as failure:
        if failure.status in (404, 422) or failure.kind == NEEDS_CAMPAIGN:
            return {"calls": [], "next": None}, failure.detail
        raise
    return page, ""


async def campaign_ids(api: RestClient) -> list[str]:
    """Returns the ids of the first campaigns, as proposals for the filter."""
    page = await api.get("/campaigns", {"limit": 200})
    return [campaign["campaign_id"] for campaign in page["campaigns"]]


def _segment(text: str) -> str:
    """Returns a text as one segment of a path."""
    return quote(text, safe="")
