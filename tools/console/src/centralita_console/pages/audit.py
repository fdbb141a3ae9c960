"""The audit log: who did what to whom, refused acts too, the newest first. Filters are those of the REST API."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from centralita_console.authentication import Api
from centralita_console.rendering import render
from centralita_console.rest_client import RestFailure
from centralita_console.rest_values import as_utc, next_position

router = APIRouter()
PAGE = 100
Text = Annotated[str, Query(max_length=400)]
FAMILIES = ("call", "campaign", "dead_letter", "key", "number", "person")
_PATHS = {"call": "/calls/", "campaign": "/campaigns/", "dead_letter": "/dead-letters/"}


@router.get("/audit")
async def list_entries(
    request: Request,
    api: Api,
    key_name: Text = "",
    act: Text = "",
    call_id: Text = "",
    campaign_id: Text = "",
    since: Text = "",
    until: Text = "",
    before: Text = "",
) -> Response:
    """Lists the entries. A wrong filter is named above the empty list."""
    filters = {
        "key_name": key_name.strip(),
        "act": act.strip(),
        "call_id": call_id.strip(),
        "campaign_id": campaign_id.strip(),
        "since": since.strip(),
        "until": until.strip(),
    }
    asked: dict[str, str | int] = {**filters, "newest": "true", "limit": PAGE, "before": before}
    asked |= {name: as_utc(filters[name]) for name in ("since", "until")}
    page: dict[str, Any] = {"entries": [], "next": None}
    problem = ""
    try:
        page = await api.get("/audit", asked)
    except RestFailure as failure:
        if failure.status != 422:
            raise
        problem = failure.detail
    return render(
        request,
        "audit.html",
        422 if problem else 200,
        filters=filters,
        families=FAMILIES,
        entries=[{**entry, "path": _path_of(entry)} for entry in page["entries"]],
        problem=problem,
        next_before=next_position(page, "before"),
        is_first=not before,
    )


def _path_of(entry: Mapping[str, Any]) -> str:
    """Returns the page of the target of an act; empty if there is none."""
    prefix = _PATHS.get(entry["act"].partition(".")[0])
    return prefix + entry["target"] if prefix else ""
