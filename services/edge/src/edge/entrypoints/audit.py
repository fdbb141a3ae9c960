"""The REST API of the audit log, under ``/api/v1/audit``."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from contracts import CampaignId
from contracts.audit import AuditEntry, acts_on_call, acts_on_campaign
from contracts.instants import Instant
from edge.entrypoints.scopes import PREFIX, AdminRoute, create_router
from edge.ports import Audit

MAX_LIMIT = 500
MAX_SEQUENCE = 2**53 - 1
"""The largest integer that every JSON client can represent."""
ALL_SUBJECTS = ">"
"""The filter of all entries. A page of a filter with ``*`` would cost as much as the log after it is long."""
router = create_router(AdminRoute, "/audit", "Audit")


class AuditEntryResource(AuditEntry):
    """One entry of an administrative act."""

    sequence: int = Field(description="position in the audit log")


class AuditPage(BaseModel):
    """Entries in log order."""

    entries: list[AuditEntryResource]
    next: str | None = Field(description="path of the next page; null: no more entries for now")


@router.get("", response_model=AuditPage)
async def read_audit(
    request: Request,
    since: Annotated[Instant | None, Query(description="not before this instant; default: the start")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="maximum number of entries")] = 100,
    call_id: Annotated[UUID | None, Query(description="only acts on this call")] = None,
    campaign_id: Annotated[CampaignId | None, Query(description="only acts on this campaign")] = None,
    after: Annotated[int, Query(ge=0, le=MAX_SEQUENCE, description="after this sequence; set by `next`")] = 0,
) -> AuditPage:
    """Returns administrative acts, including refused ones: the key's name, the time, the target before and after.

    An act has an entry `asked`, appended before it happens, and one with its result.
    """
    audit: Audit = request.app.state.audit
    page = await audit.page(since=since, after=after, limit=limit, subject=_subject(call_id, campaign_id))
    entries = [AuditEntryResource(sequence=one.sequence, **one.entry.model_dump()) for one in page.entries]
    if not page.has_more or not entries:
        return AuditPage(entries=entries, next=None)
    query = {"after": entries[-1].sequence, "limit": limit, "call_id": call_id, "campaign_id": campaign_id}
    parameters = {name: value for name, value in query.items() if value is not None}
    return AuditPage(entries=entries, next=f"{PREFIX}/audit?{urlencode(parameters)}")


def _subject(call_id: UUID | None, campaign_id: CampaignId | None) -> str:
    if call_id and campaign_id:
        error = {"type": "value_error", "loc": ("query", "campaign_id"), "msg": "give call_id or campaign_id, not both"}
        raise RequestValidationError([error])
    if campaign_id:
        return acts_on_campaign(campaign_id)
    return acts_on_call(call_id) if call_id else ALL_SUBJECTS
