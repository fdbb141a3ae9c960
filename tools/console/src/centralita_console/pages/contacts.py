"""The contacts of a campaign: those that wait, and the import of a file, which the REST API receives as it arrives.

The console keeps no file and no result (ADR 60). The dry run and the import are two requests with the same file.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from centralita_console.authentication import CSRF_FIELD, Api, ForeignForm, require_own_page, require_session
from centralita_console.contact_import import (
    MAX_FILE_MEGABYTES,
    ImportOutcome,
    example_file,
    import_form,
    media_type_of,
)
from centralita_console.pages.campaigns import campaign_path
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from centralita_console.rest_values import next_cursor
from centralita_console.sessions import Session
from centralita_console.uploads import RunningUploads, Upload, UploadInterrupted, WrongUpload, read_upload
from chassis.slow_readers import ReadInTime

router = APIRouter()
UPLOAD_PATH = r"/campaigns/[^/]+/contacts"
MAX_UPLOAD_BYTES = MAX_FILE_MEGABYTES * 1024 * 1024 + 65_536
"""The file and the rest of the form."""
MAX_LINE = 2**31
PAGE = 100
_SHOWN = (403, 409, 413, 415, 422, 429, 503)
"""Refusals of the REST API that are shown beside the form."""


class ImportAct(StrEnum):
    """What to do with a file."""

    CHECK = "check"
    IMPORT = "import"
    REFUSED = "refused"


async def _accepted(request: Request) -> AsyncIterator[AsyncExitStack]:
    """Checks who sends the file before a byte of it is read, and counts the upload until the answer is sent.

    Raises ForeignForm, NotLoggedIn and TooManyUploads.
    """
    require_own_page(request)
    session = require_session(request)
    running: RunningUploads = request.app.state.uploads
    with running.counted(session.session_id):
        async with AsyncExitStack() as opened:
            yield opened


@router.get("/campaigns/{campaign_id}/contacts")
async def list_contacts(
    request: Request, api: Api, campaign_id: str, cursor: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """Lists the contacts that wait for their calls, in the order in which they were added."""
    return await _page(request, api, await api.get(campaign_path(campaign_id)), cursor=cursor)


@router.get("/campaigns/{campaign_id}/contacts/example.csv")
async def show_example(api: Api, campaign_id: str) -> Response:
    """Returns a file with the columns that the script of the campaign needs."""
    form = import_form(await api.get(campaign_path(campaign_id)), datetime.now(UTC))
    return _file(example_file(form.required), f"{campaign_id}-example.csv")


@router.post("/campaigns/{campaign_id}/contacts")
async def send_file(
    request: Request,
    campaign_id: str,
    opened: Annotated[AsyncExitStack, Depends(_accepted)],
    api: Api,
    act: ImportAct = ImportAct.CHECK,
    from_line: Annotated[int, Query(ge=1, le=MAX_LINE)] = 1,
) -> Response:
    """Passes a file on: as a dry run, as an import, or as a dry run whose refused rows are a file."""
    campaign = await api.get(campaign_path(campaign_id))
    upload: Upload | None = None
    try:
        upload = await _own_upload(request)
        parameters = {"dry_run": act is not ImportAct.IMPORT, "from_line": from_line}
        answer = await _passed_on(upload, api, campaign_id, parameters, opened, is_csv=act is ImportAct.REFUSED)
        if act is ImportAct.REFUSED:
            return _file(answer.aiter_bytes(), f"{campaign_id}-refused.csv")
        await answer.aread()
        outcome = ImportOutcome(answer.json())
    except WrongUpload as error:
        outcome = ImportOutcome(kind=error.kind, problem=str(error))
    except UploadInterrupted as error:
        outcome = ImportOutcome(kind="interrupted", problem=str(error))
    except RestFailure as failure:
        if failure.status not in _SHOWN:
            raise
        outcome = _refused(failure)
    finally:
        if upload:
            await upload.discard()
    return await _page(request, api, campaign, outcome)


async def _passed_on(
    upload: Upload,
    api: RestClient,
    campaign_id: str,
    parameters: dict[str, Any],
    opened: AsyncExitStack,
    *,
    is_csv: bool,
) -> httpx.Response:
    """Sends a file to the REST API, and returns the answer; `opened` closes it. Raises WrongUpload and RestFailure."""
    media_type = media_type_of(upload.file_name)
    if media_type is None:
        raise WrongUpload("other_format", upload.file_name)
    path = f"{campaign_path(campaign_id)}/contacts"
    answer = await api.send_file(path, media_type, upload.parts, parameters, is_csv=is_csv)
    opened.push_async_callback(answer.aclose)
    return answer


async def _own_upload(request: Request) -> Upload:
    """Returns the file of a form that a page of the console sent. Raises ForeignForm and those of `read_upload`."""
    session: Session = request.state.session
    upload = await read_upload(request)
    if not secrets.compare_digest(upload.fields.get(CSRF_FIELD, "").encode(), session.csrf_token.encode()):
        raise ForeignForm
    return upload


def _refused(failure: RestFailure) -> ImportOutcome:
    line = failure.errors.get("from_line", "")
    if not line.isdecimal():
        return ImportOutcome(kind="refused", problem=failure.detail)
    return ImportOutcome(kind="interrupted", problem=failure.explanation, from_line=int(line))


async def _page(
    request: Request,
    api: RestClient,
    campaign: dict[str, Any],
    outcome: ImportOutcome | None = None,
    *,
    cursor: str = "",
) -> Response:
    """Returns the page. The outcome of a file is shown, also if the contacts cannot be read after it."""
    page: dict[str, Any] = {"contacts": [], "next": None}
    problem = ""
    try:
        page = await api.get(f"/campaigns/{campaign['campaign_id']}/contacts", {"cursor": cursor, "limit": PAGE})
    except (RestFailure, Unreachable) as error:
        if outcome is None:
            raise
        problem = error.detail if isinstance(error, RestFailure) else error.reason
    return render(
        request,
        "contacts.html",
        422 if outcome and outcome.kind else 200,
        campaign=campaign,
        form=import_form(campaign, datetime.now(UTC)),
        outcome=outcome,
        contacts=page["contacts"],
        problem=problem,
        next_cursor=next_cursor(page),
        is_first=not cursor,
    )


def _file(content: str | AsyncIterator[bytes], name: str) -> Response:
    """Returns a CSV file that a browser saves."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if isinstance(content, str):
        return Response(content, media_type="text/csv", headers=headers)
    return ReadInTime(StreamingResponse(content, media_type="text/csv", headers=headers))
