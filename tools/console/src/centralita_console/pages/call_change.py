"""Changing a call that waits: its time, and before the first dial also whom it calls, what it says, and its retries.

A field that is left empty stays as it is, so nothing that someone else changes meanwhile is overwritten.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import Api, PostedForm
from centralita_console.campaign_form import NO_ERRORS, FormErrors
from centralita_console.rendering import render
from centralita_console.rest_client import RestFailure
from centralita_console.rest_values import as_utc
from contracts import CallStatus

router = APIRouter()
TIME = "scheduled_at"
BEFORE_THE_FIRST_DIAL = ("max_retries", "retry_delay_seconds", "call_timeout_seconds")
SCRIPT, VARIABLES = "script_template", "variables"
FIELDS = (TIME, "phone_number", *BEFORE_THE_FIRST_DIAL, "time_zone", "language", SCRIPT, VARIABLES)
"""The fields of the REST API that the form has. Between attempts, only the time can be changed."""
TEXTS = (SCRIPT, VARIABLES)
"""Those of several lines."""


@router.get("/calls/{call_id:uuid}/change")
async def show_form(request: Request, api: Api, call_id: UUID) -> Response:
    """Shows the form, with the present values beside the fields."""
    return _page(request, await api.get(f"/calls/{call_id}"), {}, NO_ERRORS)


@router.post("/calls/{call_id:uuid}/change")
async def change(request: Request, fields: PostedForm, api: Api, call_id: UUID) -> Response:
    """Changes the fields that were given. A refusal is shown beside what was typed."""
    try:
        body = _body(fields)
    except WrongLine as error:
        errors = FormErrors({VARIABLES: str(error)}, "")
        return _page(request, await api.get(f"/calls/{call_id}"), fields, errors, 422)
    try:
        if body:
            await api.put(f"/calls/{call_id}", body, {})
    except RestFailure as failure:
        if failure.status not in (403, 409, 413, 422):
            raise
        errors = FormErrors.of(failure.errors, failure.detail, FIELDS)
        return _page(request, await api.get(f"/calls/{call_id}"), fields, errors, 422)
    if not body:
        return _page(request, await api.get(f"/calls/{call_id}"), fields, NO_ERRORS, 422, is_empty=True)
    return RedirectResponse(f"/calls/{call_id}", 303)


def _body(fields: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of the fields that are not empty. What is no number is sent as it was typed.

    Raises WrongLine if a line of the variables has no `=`.
    """
    given = {name: text.strip() for name in FIELDS if (text := fields.get(name, "")).strip()}
    body: dict[str, Any] = {**given}
    for name in BEFORE_THE_FIRST_DIAL:
        if (text := given.get(name, "")).isascii() and text.isdigit() and len(text) < 10:
            body[name] = int(text)
    if SCRIPT in given:
        body[SCRIPT] = given[SCRIPT].replace("\r\n", "\n")
    if VARIABLES in given:
        body[VARIABLES] = variables_of(given[VARIABLES])
    return body | ({TIME: as_utc(given[TIME])} if TIME in given else {})


class WrongLine(ValueError):
    """A line of the variables has no `=`."""


def variables_of(text: str) -> dict[str, str]:
    """Returns the variables of lines such as ``name = Ada``. Raises WrongLine."""
    variables = {}
    for line in filter(str.strip, text.splitlines()):
        name, separator, value = line.partition("=")
        if not separator:
            raise WrongLine(f"{line.strip()}: write a line such as name = Ada")
        variables[name.strip()] = value.strip()
    return variables


def _page(
    request: Request,
    call: Mapping[str, Any],
    fields: Mapping[str, str],
    errors: FormErrors,
    status: int = 200,
    *,
    is_empty: bool = False,
) -> Response:
    due_at = call["scheduled_at"] or call["next_attempt_at"]
    return render(
        request,
        "call_change.html",
        status,
        call=call,
        due_at=datetime.fromisoformat(due_at) if due_at else None,
        is_waiting=call["status"] == CallStatus.PENDING,
        shown=FIELDS if call["attempts"] == 0 else FIELDS[:1],
        texts=TEXTS,
        variables="\n".join(f"{name} = {value}" for name, value in call[VARIABLES].items()),
        fields=fields,
        errors=errors,
        is_empty=is_empty,
    )
