"""The audit log in the stream AUDIT, from which no message is ever removed.

A filter by key or act has no index, so one request reads at most `MAX_READ` entries. Its answer names the sequence at
which the next one goes on. Pages with the newest entries first are read in blocks. NATS reads forward only: for the
entries about one target, the sequence at which a block begins is searched by the number of those that follow.
"""

from dataclasses import dataclass, field
from datetime import datetime

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from pydantic import ValidationError

from chassis.direct_get import Page, get_newest, get_page
from chassis.event_log import publish
from contracts.audit import AuditEntry
from contracts.streams import AUDIT
from edge.adapters.nats import translate_errors
from edge.metrics import AUDIT_ENTRIES
from edge.ports import ALL_SUBJECTS, AuditQuery, EntryPage, StoredEntry, Unavailable

MAX_READ = 2_048
BLOCK = 64
"""Entries in one answer of the server, which has at most 8 MB."""


class NatsAudit:
    """Implements `edge.ports.Audit` with the stream AUDIT."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def append(self, entry: AuditEntry) -> None:
        """Stores the entry. ``Nats-Expected-Stream`` ensures that it is stored in this stream. Raises Unavailable."""
        body = entry.model_dump_json(exclude_none=True).encode()
        headers = {"Nats-Msg-Id": f"{entry.act_id}/{entry.stage}", "Nats-Expected-Stream": AUDIT.name}
        async with translate_errors(self._client, "the audit log cannot be written"):
            await publish(self._client, entry.subject, body, headers)
        AUDIT_ENTRIES.labels(stage=entry.stage).inc()

    async def page(self, query: AuditQuery) -> EntryPage:
        """Returns the entries that match, up to the limits of one request. Raises Unavailable."""
        async with translate_errors(self._client, "the audit log cannot be read"):
            return await (self._backward(query) if query.is_newest_first else self._forward(query))

    async def _forward(self, query: AuditQuery) -> EntryPage:
        found = _Found(query, query.position)
        while not found.is_full:
            start_time = query.since if not found.position else None
            page = await self._read(query, found.position + 1, query.limit - len(found.entries), start_time=start_time)
            for message in page.messages:
                entry = _entry(message)
                if query.until and entry.entry.recorded_at >= query.until:
                    return found.end()
                if found.add(entry):
                    break
            if not page.has_more and (not page.messages or found.position == page.messages[-1].seq):
                return found.end()
        return found.page()

    async def _backward(self, query: AuditQuery) -> EntryPage:
        found = _Found(query, query.position or await self._end(query))
        while not found.is_full:
            before, size = found.position, min(BLOCK, query.limit if not query.is_filtered else BLOCK)
            start = await self._start_of_block(query, before, size)
            page = await self._read(query, start, size)
            for message in reversed([one for one in page.messages if one.seq < before]):
                entry = _entry(message)
                if query.since and entry.entry.recorded_at < query.since:
                    return found.end()
                if found.add(entry):
                    break
            else:
                found.position = start
            if found.position <= 1:
                return found.end()
        return found.page()

    async def _read(self, query: AuditQuery, start: int, limit: int, start_time: datetime | None = None) -> Page:
        size = BLOCK if query.is_filtered else limit
        return await get_page(
            self._client, AUDIT.name, query.subject, start_sequence=start, start_time=start_time, limit=size
        )

    async def _end(self, query: AuditQuery) -> int:
        """Returns the sequence after the newest entry, or that of the first one at or after `until`."""
        if query.until:
            page = await get_page(self._client, AUDIT.name, ALL_SUBJECTS, start_time=query.until, limit=1)
            if page.messages:
                return page.messages[0].seq
        newest = await get_newest(self._client, AUDIT.name, query.subject)
        return newest.seq + 1 if newest else 1

    async def _start_of_block(self, query: AuditQuery, before: int, size: int) -> int:
        """Returns a sequence from which at most `size` entries precede `before`, and all of them if it is 1."""
        if query.subject == ALL_SUBJECTS:
            return max(1, before - size)
        after = await self._count(query.subject, before)
        low, high = 1, before
        while low < high:
            middle = (low + high) // 2
            if await self._count(query.subject, middle) - after <= size:
                high = middle
            else:
                low = middle + 1
        return low

    async def _count(self, subject: str, start: int) -> int:
        """Returns how many entries are on a literal subject from a sequence on."""
        page = await get_page(self._client, AUDIT.name, subject, start_sequence=start, limit=1)
        return len(page.messages) + page.pending


@dataclass(slots=True)
class _Found:
    """The entries that match, and the position up to which the log was read for them."""

    query: AuditQuery
    position: int
    entries: list[StoredEntry] = field(default_factory=list)
    read: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= self.query.limit or self.read >= MAX_READ

    def add(self, stored: StoredEntry) -> bool:
        """Adds an entry that matches, and returns whether no other one may be read."""
        self.read += 1
        self.position = stored.sequence
        if self.query.selects(stored.entry):
            self.entries.append(stored)
        return self.is_full

    def page(self) -> EntryPage:
        return EntryPage(self.entries, self.position)

    def end(self) -> EntryPage:
        return EntryPage(self.entries, None)


def _entry(message: RawStreamMsg) -> StoredEntry:
    sequence = message.seq or 0
    try:
        return StoredEntry(sequence, AuditEntry.model_validate_json(message.data or b""))
    except ValidationError as error:
        raise Unavailable(f"the audit log cannot be read: entry {sequence} is invalid") from error
