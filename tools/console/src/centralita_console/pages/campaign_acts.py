"""Start and finish of a campaign: each is confirmed on a page that shows what it means for calls and contacts."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import Api, PostedForm
from centralita_console.pages.campaigns import campaign_path
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure
from contracts import CallStatus

router = APIRouter()
MAX_COUNTED = 200
"""As many calls or contacts as one answer of the REST API lists. More are shown as `200+`."""
WAITING = (CallStatus.PENDING,)
ON_THE_LINE = (CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS)


class CampaignAct(StrEnum):
    """What a person confirms. The values are the names in the REST API."""

    START = "start"
    FINISH = "finish"


@router.get("/campaigns/{campaign_id}/acts/{act}")
async def ask(request: Request, api: Api, campaign_id: str, act: CampaignAct) -> Response:
    """Asks whether the act is meant, and shows which calls and contacts it concerns. Changes nothing."""
    return await _page(request, api, campaign_id, act)


@router.post("/campaigns/{campaign_id}/acts/{act}")
async def confirm(request: Request, _: PostedForm, api: Api, campaign_id: str, act: CampaignAct) -> Response:
    """Starts or finishes the campaign, and continues with it. A second confirmation changes nothing."""
    path = campaign_path(campaign_id)
    try:
        await api.post(f"{path}/{act}", {})
    except RestFailure as failure:
        if failure.status not in (403, 409, 422):
            raise
        return await _page(request, api, campaign_id, act, refusal=failure.detail)
    return RedirectResponse(path, 303)


async def _page(request: Request, api: RestClient, campaign_id: str, act: CampaignAct, refusal: str = "") -> Response:
    path = campaign_path(campaign_id)
    campaign, contacts, waiting, on_the_line = await asyncio.gather(
        api.get(path),
        api.get(f"{path}/contacts", {"limit": MAX_COUNTED}),
        _count(api, campaign_id, WAITING),
        _count(api, campaign_id, ON_THE_LINE),
    )
    return render(
        request,
        "campaign_act.html",
        422 if refusal else 200,
        campaign=campaign,
        act=act,
        contacts=_shown([contacts], "contacts"),
        waiting=waiting,
        on_the_line=on_the_line,
        refusal=refusal,
    )


async def _count(api: RestClient, campaign_id: str, statuses: Sequence[CallStatus]) -> str:
    """Returns how many calls of a campaign have one of these statuses, such as `12` or `200+`."""
    asked: dict[str, str | int] = {"campaign_id": campaign_id, "limit": MAX_COUNTED}
    pages = await asyncio.gather(*(api.get("/calls", {**asked, "status": status}) for status in statuses))
    return _shown(pages, "calls")


def _shown(pages: Sequence[dict[str, Any]], name: str) -> str:
    count = sum(len(page[name]) for page in pages)
    return f"{count}+" if any(page["next"] for page in pages) else str(count)
