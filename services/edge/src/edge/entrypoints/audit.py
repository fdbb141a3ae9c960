"""Who did what, under ``/api/v1/audit``."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, Field

from contracts import CampaignId
from contracts.audit import ALL_ENTRIES, AuditEntry, acts_on_call, acts_on_campaign
from edge.entrypoints.scopes import PREFIX, Administering, router
from edge.ports import Audit

MOST = 500
audit = router(Administering, "/audit", "Audit")


class LoggedEntry(AuditEntry):
    """One step of one administrative act."""

    sequence: int = Field(description="its place in the audit")


class AuditPage(BaseModel):
    """Entries in the order in which they were written."""

    entries: list[LoggedEntry]
    next: str | None = Field(description="where the entries after these are; none: there are no more for now")


@audit.get("", response_model=AuditPage)
async def read_audit(
    request: Request,
    since: Annotated[AwareDatetime | None, Query(description="not before this instant; none: from the start")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="the most entries of a page")] = 100,
    call_id: Annotated[UUID | None, Query(description="acts on this call alone")] = None,
    campaign_id: Annotated[CampaignId | None, Query(description="acts on this campaign alone")] = None,
    after: Annotated[int, Query(ge=0, description="after this sequence; `next` sets it")] = 0,
) -> AuditPage:
    """Every administrative act, the refused ones too: by which key, when, and what it was done to before and after it.

    An act has an entry `asked`, written before it is done, and one that says what came of it.
    """
    source: Audit = request.app.state.audit
    page = await source.page(since=since, after=after, limit=limit, subject=_subject(call_id, campaign_id))
    entries = [LoggedEntry(sequence=one.sequence, **one.entry.model_dump()) for one in page.written]
    if not page.more or not entries:
        return AuditPage(entries=entries, next=None)
    query = {"after": entries[-1].sequence, "limit": limit, "call_id": call_id, "campaign_id": campaign_id}
    given = {name: value for name, value in query.items() if value is not None}
    return AuditPage(entries=entries, next=f"{PREFIX}/audit?{urlencode(given)}")


def _subject(call_id: UUID | None, campaign_id: CampaignId | None) -> str:
    if call_id and campaign_id:
        wrong = {"type": "value_error", "loc": ("query", "campaign_id"), "msg": "give call_id or campaign_id, not both"}
        raise RequestValidationError([wrong])
    if campaign_id:
        return acts_on_campaign(campaign_id)
    return acts_on_call(call_id) if call_id else ALL_ENTRIES
