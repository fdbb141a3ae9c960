"""Changing a campaign: a form with its present terms, then a page that shows what changes, then the change.

The change names the version that was shown. If someone else changes the campaign meanwhile, the REST API refuses it,
and the page shows again what would change now (ADR 63).
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import Api, PostedForm
from centralita_console.campaign_change import SEEN, TERMS, Change, change_of, seen_of
from centralita_console.campaign_form import INPUTS, NO_ERRORS, FormErrors, fields_of
from centralita_console.campaign_hours import DAYS
from centralita_console.pages.campaigns import campaign_path
from centralita_console.rendering import render
from centralita_console.rest_client import RestFailure
from contracts import CampaignStatus, Purpose

router = APIRouter()
VERSION, STEP = "version", "step"
EDIT, SEND = "edit", "send"
"""The steps of a form that was shown already. Without one of them, it is shown what changes."""


@router.get("/campaigns/{campaign_id}/change")
async def show_form(request: Request, api: Api, campaign_id: str) -> Response:
    """Shows the form with the present terms."""
    campaign = await api.get(campaign_path(campaign_id))
    terms = campaign["terms"] or {}
    return _form(request, campaign, {**fields_of(terms), SEEN: seen_of(terms)})


@router.post("/campaigns/{campaign_id}/change")
async def change(request: Request, fields: PostedForm, api: Api, campaign_id: str) -> Response:
    """Shows what a form changes, and changes it once that was confirmed. What was typed stays until then."""
    path = campaign_path(campaign_id)
    campaign = await api.get(path)
    step, is_sent = fields.get(STEP, ""), fields.get(STEP) == SEND
    if not _is_changeable(campaign) or step == EDIT:
        return _form(request, campaign, fields, status=200 if step == EDIT else 409)
    wanted = change_of(fields, campaign["terms"])
    if not wanted.lines:
        return RedirectResponse(path, 303) if is_sent else _form(request, campaign, fields, is_unchanged=True)
    if not is_sent or fields.get(VERSION) != str(campaign["version"]):
        return _review(request, campaign, wanted, fields, is_other_version=is_sent)
    try:
        changed = await api.put(path, wanted.body, {VERSION: campaign["version"]})
    except RestFailure as failure:
        if failure.status == 409 and VERSION in failure.errors:
            campaign = await api.get(path)
            wanted = change_of(fields, campaign["terms"])
            if not wanted.lines:  # someone else has changed the same
                return RedirectResponse(path, 303)
            return _review(request, campaign, wanted, fields, is_other_version=True)
        if failure.status not in (403, 409, 413, 422):
            raise
        errors = FormErrors.of(failure.errors, failure.detail)
        return _form(request, campaign, fields, errors=errors, status=422)
    if changed["version"] == campaign["version"]:
        return _review(request, campaign, wanted, fields, is_undecided=True)
    return RedirectResponse(path, 303)


def _is_changeable(campaign: Mapping[str, Any]) -> bool:
    return campaign["terms"] is not None and campaign["status"] != CampaignStatus.FINISHED


def _form(
    request: Request,
    campaign: Mapping[str, Any],
    fields: Mapping[str, str],
    *,
    errors: FormErrors = NO_ERRORS,
    is_unchanged: bool = False,
    status: int = 200,
) -> Response:
    """Returns the form, also of a campaign that cannot be changed any more if something was typed."""
    is_shown = _is_changeable(campaign) or request.method == "POST"
    terms = campaign["terms"] or {}
    kept = [name for name, value in terms.items() if name not in TERMS and value not in (None, (), [], {})]
    return render(
        request,
        "campaign_change.html",
        status,
        campaign=campaign,
        fields={SEEN: "", **fields} if is_shown else None,
        kept=kept,
        errors=errors,
        is_unchanged=is_unchanged,
        purposes=list(Purpose),
        days=DAYS,
        is_new=False,
    )


def _review(
    request: Request,
    campaign: Mapping[str, Any],
    wanted: Change,
    fields: Mapping[str, str],
    *,
    is_other_version: bool = False,
    is_undecided: bool = False,
) -> Response:
    return render(
        request,
        "campaign_review.html",
        409 if is_other_version else 202 if is_undecided else 200,
        campaign=campaign,
        lines=wanted.lines,
        fields={name: fields[name] for name in (*INPUTS, SEEN) if fields.get(name)},
        is_other_version=is_other_version,
        is_undecided=is_undecided,
    )
