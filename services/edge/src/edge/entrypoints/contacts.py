"""The REST API of a campaign's contacts: import, dry run, and the list of those that wait."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from chassis.slow_readers import ReadInTime
from contracts import CampaignId, ContactAdded, ContactId
from contracts.queries import MAX_LIST
from edge.application.acts import Acts
from edge.application.calls import Calls
from edge.application.contact_import import BodyInterrupted, ContactImports
from edge.application.import_result import ImportCounts, ImportResult
from edge.application.masking import mask_numbers
from edge.entrypoints.audit import MAX_SEQUENCE
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import CAMPAIGN, PREFIX, ActRoute, ReadRoute, create_router, key_of
from edge.ports import Contacts
from records.decisions import ExplainedDecision

CSV, JSON_LINES = "text/csv", "application/x-ndjson"
MAX_IMPORT_BYTES = 512 * 1024 * 1024
IMPORT_PATH = r"/api/v1/campaigns/[^/]+/contacts"
"""The paths to which `MAX_IMPORT_BYTES` applies."""
SUMMARY = "Import-Result"
"""The header of an answer in CSV that has the counts, as JSON."""
MAX_LINE = 2**31
_READ_BYTES = 65_536
_ROW = {
    "type": "object",
    "required": ["phone_number"],
    "properties": {name: {"type": "string"} for name in ("phone_number", "contact_id", "time_zone", "language")}
    | {name: {"type": "object", "additionalProperties": {"type": "string"}} for name in ("variables", "metadata")},
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"at most {MAX_IMPORT_BYTES // 1024**2} MB; rows of at most 64 kB",
        "content": {CSV: {"schema": {"type": "string"}}, JSON_LINES: {"schema": _ROW}},
    }
}

read_router = create_router(ReadRoute, "/campaigns", "Campaigns")
import_router = create_router(ActRoute, "/campaigns", "Campaigns")


class WaitingContact(BaseModel):
    """A contact that waits for its call. Its number is masked."""

    contact_id: str
    phone_number: str = Field(examples=["+1•••••••••23"])
    time_zone: str | None = Field(description="null: that of the number")
    language: str | None = Field(description="null: that of the campaign")
    created_at: datetime = Field(description="when it was added")

    @classmethod
    def of(cls, contact: ContactAdded) -> "WaitingContact":
        """Returns the public form of a contact."""
        return cls(
            contact_id=contact.contact_id,
            phone_number=mask_numbers(contact.phone_number),
            time_zone=contact.time_zone,
            language=contact.language,
            created_at=contact.created_at,
        )


class ContactPageResource(BaseModel):
    """Waiting contacts in the order in which they were added."""

    contacts: list[WaitingContact]
    next: str | None = Field(description="path of the next page; null: this is the last one")


@read_router.get(f"/{CAMPAIGN}/contacts", response_model=ContactPageResource, responses=problems(404))
async def list_contacts(
    request: Request,
    campaign_id: CampaignId,
    cursor: Annotated[int, Query(ge=0, le=MAX_SEQUENCE, description="set by `next`; default: at the start")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIST, description="maximum number of contacts")] = 100,
) -> ContactPageResource:
    """Lists the contacts that wait for their calls. A contact that was taken is a call: `/calls?contact_id=`."""
    contacts: Contacts = request.app.state.contacts
    page = await contacts.page(campaign_id, after_sequence=cursor, limit=limit)
    path = f"{PREFIX}/campaigns/{campaign_id}/contacts?limit={limit}&cursor="
    return ContactPageResource(
        contacts=[WaitingContact.of(contact) for _, contact in page.contacts],
        next=f"{path}{page.contacts[-1][0]}" if page.has_more and page.contacts else None,
    )


@read_router.get(f"/{CAMPAIGN}/decisions", response_model=list[ExplainedDecision], responses=problems(404))
async def contact_decisions(
    request: Request,
    campaign_id: CampaignId,
    contact_id: Annotated[ContactId, Query(description="the contact")],
) -> list[ExplainedDecision]:
    """Returns why a contact was called, delayed or refused: the decisions about its call, oldest first."""
    calls: Calls = request.app.state.calls
    return [ExplainedDecision.of(stored) for stored in await calls.decisions_on_contact(campaign_id, contact_id)]


async def _running_import(request: Request) -> AsyncIterator[AsyncExitStack]:
    """Counts the import until its answer is sent; then closes what it has opened.

    So a client that does not read the refused rows cannot fill the disk with them: one import of its key runs.
    """
    imports: ContactImports = request.app.state.contact_imports
    with imports.running.counted(key_of(request)):
        async with AsyncExitStack() as opened:
            yield opened


@import_router.post(
    f"/{CAMPAIGN}/contacts",
    name="campaign.import_contacts",
    response_model=ImportResult,
    response_description="What became of the rows",
    responses={
        200: {"content": {CSV: {"schema": {"type": "string"}}}},
        **problems(404, 409, 415),
    },
    openapi_extra=_BODY,
)
async def import_contacts(
    request: Request,
    campaign_id: CampaignId,
    opened: Annotated[AsyncExitStack, Depends(_running_import)],
    dry_run: Annotated[
        bool, Query(description="add nothing; show what would be added, and when it may be called")
    ] = False,
    from_line: Annotated[
        int,
        Query(ge=1, le=MAX_LINE, description="leave out the rows before this line"),
    ] = 1,
) -> Any:
    """Adds contacts to a campaign from CSV or JSON lines, in UTF-8. They are called within the terms of the campaign.

    The first line of CSV names the columns. `phone_number` is required, in E.164; `contact_id`, `time_zone` (IANA) and
    `language` are optional. A column `metadata.x` is an entry of the metadata, every other one a variable of the
    script. A line of JSON is an object with these fields, `variables` and `metadata`.

    Wrong rows are refused with line, column and reason, and the others are added. A number that already waits in the
    campaign is a duplicate. With `Accept: text/csv` the answer has the refused rows with their cells: correct and send
    it again. Its header `Import-Result` has the counts. A wrong first line refuses the file.

    An interrupted import (503) names the line from which on it continues, and so does one that exceeds the contacts
    that a key may add in a day (429). One import per key runs at a time.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (CSV, JSON_LINES):
        raise HTTPException(415, f"send Content-Type: {CSV} or {JSON_LINES}")
    with_csv = CSV in request.headers.get("accept", "")
    imports: ContactImports = request.app.state.contact_imports
    acts: Acts = request.app.state.acts
    counts = ImportCounts(campaign_id, is_dry_run=dry_run, with_csv=with_csv)
    opened.callback(counts.close)
    key_name, is_csv = key_of(request).name, media_type == CSV
    work = partial(imports.run, _parts(request), counts, is_csv=is_csv, from_line=from_line, key_name=key_name)
    result = await acts.import_contacts(key_name, counts, work)
    return _csv_answer(counts, result) if with_csv else result


async def _parts(request: Request) -> AsyncIterator[bytes]:
    """Yields the body in parts. Raises BodyInterrupted if it ends early, is too large, or arrives too slowly."""
    try:
        async for part in request.stream():
            for start in range(0, len(part), _READ_BYTES):
                yield part[start : start + _READ_BYTES]
    except ClientDisconnect:
        raise BodyInterrupted("the client disconnected") from None
    except HTTPException as error:
        raise BodyInterrupted(error.detail) from None


def _csv_answer(counts: ImportCounts, result: ImportResult) -> Response:
    file = counts.refused_csv
    assert file is not None  # noqa: S101  the answer in CSV was asked for
    summary = result.model_dump_json(exclude={"groups", "refused_rows"})

    async def parts() -> AsyncIterator[bytes]:
        file.seek(0)
        while part := file.read(_READ_BYTES):
            yield part

    return ReadInTime(StreamingResponse(parts(), media_type=CSV, headers={SUMMARY: summary}))
