"""Campaigns: their progress and outcomes, and the acts pause and resume."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import Api, PostedForm
from centralita_console.contact_import import import_form
from centralita_console.outcomes import outcome_values, read_outcomes
from centralita_console.progress import progress_values
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure
from centralita_console.rest_values import next_cursor
from contracts import CallStatus

router = APIRouter()
_CAMPAIGN_ID = re.compile("[A-Za-z0-9_-]{1,100}")
PAGE = 100
MAX_REASON_LENGTH = 500
DEFAULT_INTERVAL = "1h"
Interval = Annotated[str, Query(max_length=10)]
COUNTED = {
    CallStatus.COMPLETED: "completed_calls",
    CallStatus.FAILED: "failed_calls",
    CallStatus.NO_ANSWER: "no_answer_calls",
    CallStatus.BUSY: "busy_calls",
}
"""The counters of the REST API that are a status of a call. Other calls are open, or ended in another way."""


@router.get("/campaigns")
async def list_campaigns(request: Request, api: Api, cursor: Annotated[str, Query(max_length=400)] = "") -> Response:
    """Lists the campaigns that the key may see, in the order of their ids."""
    page = await api.get("/campaigns", {"cursor": cursor, "limit": PAGE})
    rows = [{**campaign, "outcomes": outcomes_of(campaign["calls"])} for campaign in page["campaigns"]]
    return render(request, "campaigns.html", rows=rows, next_cursor=next_cursor(page), is_first=not cursor)


@router.get("/campaigns/{campaign_id}")
async def show_campaign(request: Request, api: Api, campaign_id: str, interval: Interval = "") -> Response:
    """Shows a campaign: its status, the outcomes of its calls, and its terms."""
    return await _page(request, api, campaign_id, interval=interval)


@router.get("/campaigns/{campaign_id}/outcomes")
async def show_outcomes(request: Request, api: Api, campaign_id: str, interval: Interval = "") -> Response:
    """Returns the part of the page with the outcomes over time."""
    return render(request, "parts/outcomes.html", **await _outcomes(api, campaign_id, interval))


@router.post("/campaigns/{campaign_id}/pause")
async def pause(request: Request, fields: PostedForm, api: Api, campaign_id: str) -> Response:
    """Pauses the campaign. A reason is needed: everyone who finds the campaign paused reads it."""
    reason = fields.get("reason", "").strip()
    if not 0 < len(reason) <= MAX_REASON_LENGTH:
        return await _page(request, api, campaign_id, reason=reason, is_reason_wrong=True)
    return await _act(request, api, campaign_id, "pause", {"reason": reason})


@router.post("/campaigns/{campaign_id}/resume")
async def resume(request: Request, _: PostedForm, api: Api, campaign_id: str) -> Response:
    """Resumes the campaign."""
    return await _act(request, api, campaign_id, "resume", {})


async def _act(request: Request, api: RestClient, campaign_id: str, act: str, body: Mapping[str, str]) -> Response:
    """Sends an act, and shows the campaign after it. A refusal is shown beside what was typed."""
    try:
        await api.post(f"{campaign_path(campaign_id)}/{act}", body)
    except RestFailure as failure:
        if failure.status not in (403, 409, 422):
            raise
        return await _page(request, api, campaign_id, reason=body.get("reason", ""), refusal=failure.detail)
    return RedirectResponse(campaign_path(campaign_id), 303)


async def _page(
    request: Request,
    api: RestClient,
    campaign_id: str,
    *,
    interval: str = "",
    reason: str = "",
    is_reason_wrong: bool = False,
    refusal: str = "",
) -> Response:
    campaign = await api.get(campaign_path(campaign_id))
    return render(
        request,
        "campaign.html",
        422 if is_reason_wrong or refusal else 200,
        campaign=campaign,
        **await progress_values(api, campaign),
        **await _outcomes(api, campaign_id, interval),
        outcomes=outcomes_of(campaign["calls"]),
        terms={name: value for name, value in (campaign["terms"] or {}).items() if value not in (None, (), [], {})},
        reason=reason,
        is_reason_wrong=is_reason_wrong,
        refusal=refusal,
        max_reason_length=MAX_REASON_LENGTH,
        form=import_form(campaign, datetime.now(UTC)),
        outcome=None,
    )


async def _outcomes(api: RestClient, campaign_id: str, interval: str) -> dict[str, Any]:
    page = campaign_path(campaign_id)
    over_time = await read_outcomes(api, f"{page}/outcomes", {}, interval, DEFAULT_INTERVAL)
    return outcome_values(over_time, page=page, part=f"{page}/outcomes", parameters={}, interval=interval)


def outcomes_of(counters: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """Returns each counted status with its calls and their share in percent; `other` is the rest."""
    total = counters["total_calls"]
    counts: dict[str, int] = {str(status): counters[name] for status, name in COUNTED.items()}
    counts["other"] = max(0, total - sum(counts.values()))
    return [(status, count, 100 * count / total if total else 0.0) for status, count in counts.items()]


def campaign_path(campaign_id: str) -> str:
    """Returns the path of a campaign. Raises HTTPException for an id that no campaign can have."""
    if not _CAMPAIGN_ID.fullmatch(campaign_id):
        raise HTTPException(404)
    return f"/campaigns/{campaign_id}"
