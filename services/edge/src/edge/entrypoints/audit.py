"""Who did what, under ``/api/v1/audit``."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from contracts.audit import AuditEntry
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
    after: Annotated[int, Query(ge=0, description="after this sequence; `next` sets it")] = 0,
) -> AuditPage:
    """Every administrative act, the refused ones too: by which key, when, and the call before and after it.

    An act has an entry `asked`, written before it is done, and one that says what came of it.
    """
    source: Audit = request.app.state.audit
    page = await source.page(since=since, after=after, limit=limit, call_id=call_id)
    entries = [LoggedEntry(sequence=one.sequence, **one.entry.model_dump()) for one in page.written]
    if not page.more or not entries:
        return AuditPage(entries=entries, next=None)
    query = {"after": entries[-1].sequence, "limit": limit, **({"call_id": call_id} if call_id else {})}
    return AuditPage(entries=entries, next=f"{PREFIX}/audit?{urlencode(query)}")
