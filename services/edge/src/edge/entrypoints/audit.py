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
from edge.ports import ALL_SUBJECTS, Audit, AuditQuery

MAX_LIMIT = 500
MAX_SEQUENCE = 2**53 - 1
"""The largest integer that every JSON client can represent."""
router = create_router(AdminRoute, "/audit", "Audit")


class AuditEntryResource(AuditEntry):
    """One entry of an administrative act."""

    sequence: int = Field(description="position in the audit log")


class AuditPage(BaseModel):
    """Entries in log order, or the newest first. A page may have fewer than `limit`, or none, and still a next one."""

    entries: list[AuditEntryResource]
    next: str | None = Field(description="path of the next page; null: no more entries for now")


class _Selection(BaseModel):
    """The parameters of a page, which `next` repeats."""

    since: Instant | None = Field(default=None, description="not before this instant; default: the start")
    until: Instant | None = Field(default=None, description="before this instant")
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT, description="maximum number of entries")
    call_id: UUID | None = Field(default=None, description="only acts on this call")
    campaign_id: CampaignId | None = Field(default=None, description="only acts on this campaign")
    key_name: str | None = Field(default=None, max_length=100, description="only acts with the key of this name")
    act: str | None = Field(
        default=None,
        pattern=r"^[a-z_]{1,50}(\.[a-z_]{1,50})?$",
        max_length=101,
        description="only this act, or acts of this family",
    )
    newest: bool = Field(default=False, description="the newest entries first")
    after: int = Field(default=0, ge=0, le=MAX_SEQUENCE, description="after this sequence; set by `next`")
    before: int = Field(default=0, ge=0, le=MAX_SEQUENCE, description="before this one, with `newest`; set by `next`")

    def query(self) -> AuditQuery:
        """Returns what is read. Raises RequestValidationError if parameters exclude each other."""
        if self.call_id and self.campaign_id:
            raise _invalid("campaign_id", "give call_id or campaign_id, not both")
        if self.after and self.newest:
            raise _invalid("after", "give before with newest, not after")
        if self.before and not self.newest:
            raise _invalid("before", "give before only with newest")
        return AuditQuery(
            subject=self._subject(),
            limit=self.limit,
            since=self.since,
            until=self.until,
            position=self.before if self.newest else self.after,
            is_newest_first=self.newest,
            key_name=self.key_name,
            act=self.act,
        )

    def next_path(self, position: int) -> str:
        """Returns the path of the page from a position on."""
        left_out = {"after", "before"} | (set() if self.newest else {"since"})  # a position replaces `since`
        given = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
        cursor = {"newest": "true", "before": position} if self.newest else {"after": position}
        return f"{PREFIX}/audit?{urlencode({**given, 'limit': self.limit, **cursor})}"

    def _subject(self) -> str:
        if self.campaign_id:
            return acts_on_campaign(self.campaign_id)
        return acts_on_call(self.call_id) if self.call_id else ALL_SUBJECTS


@router.get("", response_model=AuditPage)
async def read_audit(request: Request, selection: Annotated[_Selection, Query()]) -> AuditPage:
    """Returns administrative acts, including refused ones: the key's name, the time, the target before and after.

    An act has an entry `asked`, appended before it happens, and one with its result. With `key_name` or `act`, one
    request reads at most 2,048 entries.
    """
    audit: Audit = request.app.state.audit
    page = await audit.page(selection.query())
    entries = [AuditEntryResource(sequence=one.sequence, **one.entry.model_dump()) for one in page.entries]
    next_path = selection.next_path(page.next_position) if page.next_position else None
    return AuditPage(entries=entries, next=next_path)


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("query", field), "msg": message}])
