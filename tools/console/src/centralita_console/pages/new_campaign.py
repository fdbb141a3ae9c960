"""The page that creates a campaign. Its address is not below `/campaigns`, where each word may be the id of one."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import Api, PostedForm
from centralita_console.campaign_form import NO_ERRORS, FormErrors, body_of
from centralita_console.campaign_hours import DAYS
from centralita_console.rendering import render
from centralita_console.rest_client import RestFailure
from contracts import Purpose

router = APIRouter()
PATH = "/new-campaign"


@router.get(PATH)
async def show_form(request: Request, _: Api) -> Response:
    """Shows the empty form."""
    return _page(request, {}, NO_ERRORS)


@router.post(PATH)
async def create(request: Request, fields: PostedForm, api: Api) -> Response:
    """Creates the campaign as a draft, and continues with it. A refusal is shown beside what was typed."""
    try:
        created = await api.post("/campaigns", body_of(fields))
    except RestFailure as failure:
        if failure.status not in (403, 409, 413, 422):
            raise
        return _page(request, fields, FormErrors.of(failure.errors, failure.detail), 422)
    return RedirectResponse(f"/campaigns/{created['campaign_id']}", 303)


def _page(request: Request, fields: Mapping[str, str], errors: FormErrors, status: int = 200) -> Response:
    return render(
        request,
        "new_campaign.html",
        status,
        fields=fields,
        errors=errors,
        purposes=list(Purpose),
        days=DAYS,
        is_new=True,
    )
