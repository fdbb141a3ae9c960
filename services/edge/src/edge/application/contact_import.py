"""Imports a file of contacts into a campaign, or says in a dry run what would become of its rows.

The rows are read as the body arrives, so the memory does not depend on their number. Each row is checked like a
request on the bus. Rows of a new zone group wait until call-orchestrator has answered when the group may be called:
once for each group. Good rows continue after a refused one.

An import that is interrupted names the line from which on rows have no result. The same file can be imported again:
contacts that wait already are counted as duplicates.

An import whose campaign ends meanwhile is refused from then on. Call-orchestrator removes the contacts of a campaign
that is over, and with them their groups. Its last contacts may come after that, so the import adds its groups again at
its end: without a group, contacts are not found.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from pydantic import ValidationError

from contracts import ContactRequested, InvalidMessage
from contracts.callees import Callee, callee_of
from contracts.contacts import NO_CONSENT, ContactScript, campaign_refusal, group_of, waiting_contact
from contracts.number_digests import NumberDigests
from contracts.queries import CallingTimes, CallingTimesQuery
from edge.application.campaigns import Campaigns
from edge.application.contact_cap import ContactCap, ReservedContacts
from edge.application.dry_run import DryRun
from edge.application.errors import ContactCapReached, ImportInterrupted, Refused, Unacceptable
from edge.application.import_result import ImportCounts
from edge.application.running_imports import RunningImports
from edge.domain.contact_rows import BrokenRow, CsvRows, JsonRows, Row, RowReader, WrongHeader
from edge.domain.records import Record, RecordSplitter
from edge.ports import Contacts, Importer, NewContact, Unavailable

MAX_GROUPS = 2_000
"""Zone groups of one campaign: call-orchestrator reads each one by itself."""
BATCH = 200
"""Contacts whose numbers one request compares with the do-not-call lists."""
_ROWS_A_TURN = 40
"""After so many lines, also empty and skipped ones, other requests of the process have their turn: about 4 ms.

Each step runs for all rows of a turn before the next one: row by row, each would find less of its code and data in the
caches of the processor, and the steps together would take 1.4 times as long.
"""


class BodyInterrupted(Exception):
    """The body of the request ended before its time; the message says why."""


class ContactImports:
    """Runs imports, within their limits."""

    def __init__(
        self, contacts: Contacts, campaigns: Campaigns, digests: NumberDigests, cap: ContactCap | None = None
    ) -> None:
        """`cap`: how many contacts a key may add in a day; None: any number."""
        self._cap = cap
        self._contacts = contacts
        self._campaigns = campaigns
        self._digests = digests
        self.running = RunningImports()

    async def run(
        self,
        parts: AsyncIterator[bytes],
        counts: ImportCounts,
        *,
        is_csv: bool,
        from_line: int = 1,
        key_name: str = "",
    ) -> None:
        """Imports the rows from a line on into `counts`, for an API key.

        Raises Refused, ContactCapReached, ImportInterrupted and Unavailable.
        """
        campaign = await self._campaigns.state(counts.campaign_id)
        if (refusal := campaign_refusal(campaign, datetime.now(UTC))) or not campaign.terms:
            raise Refused((refusal or "",))

        async def refusal_now() -> str | None:
            return campaign_refusal(await self._campaigns.state(counts.campaign_id), datetime.now(UTC))

        script = ContactScript(campaign.terms)
        reader = CsvRows(script.required) if is_csv else JsonRows()
        groups = await self._contacts.groups(counts.campaign_id)
        importer: Importer = DryRun(self._contacts, groups) if counts.is_dry_run else self._contacts.importer()
        lists = campaign.terms.do_not_call_lists
        reserved = self._cap.of_key(key_name) if self._cap and not counts.is_dry_run else None
        run = _Run(self._contacts, importer, self._digests, script, lists, counts, groups, refusal_now, reserved)
        try:
            interruption = await run.read(parts, reader, from_line)
            await run.pass_on()
            await importer.flush()
            await run.add_groups_again()
            if interruption:
                raise interruption
        except (BodyInterrupted, Unavailable) as error:
            raise ImportInterrupted(run.first_open_line(), counts.added, str(error)) from error
        except (Refused, ContactCapReached):
            await importer.flush()
            await run.add_groups_again()
            raise
        finally:
            importer.close()


class _Run:
    """One import."""

    def __init__(
        self,
        contacts: Contacts,
        importer: Importer,
        digests: NumberDigests,
        script: ContactScript,
        list_names: Sequence[str],
        counts: ImportCounts,
        zone_groups: Collection[str],
        refusal_now: Callable[[], Awaitable[str | None]],
        reserved: ReservedContacts | None,
    ) -> None:
        """`refusal_now`: why no contact can be added to the campaign any more, if so. `reserved`: None: no cap."""
        self._reserved = reserved
        self._contacts = contacts
        self._importer = importer
        self._digests = digests
        self._script = script
        self._list_names = list_names
        self._counts = counts
        self._zone_groups = set(zone_groups)
        self._refusal_now = refusal_now
        self._groups: dict[Callee, tuple[CallingTimes, Callable[[bool], None]]] = {}
        """When a group may be called, and what receives the result of each of its contacts."""
        self._created_at = datetime.now(UTC)
        self._batch: list[tuple[Row, NewContact]] = []
        """Contacts whose numbers are compared with the do-not-call lists together."""
        self._refused: list[tuple[Row | BrokenRow, str, str, str]] = []
        """The refused rows of this turn, with the arguments of `ImportCounts.refuse`."""
        self._next_line = 1
        """The first line that has not been read."""

    async def read(self, parts: AsyncIterator[bytes], reader: RowReader, from_line: int) -> BodyInterrupted | None:
        """Reads all records. Returns why the body ended before its time, if it did.

        Raises Unacceptable for a wrong header, and Unavailable.
        """
        records = RecordSplitter(is_csv=reader.is_csv)
        try:
            async for part in parts:
                await self._read(records.feed(part), reader, from_line)
                self._next_line = records.next_line
        except BodyInterrupted as interruption:
            return interruption
        await self._read(records.end(), reader, from_line)
        if not reader.columns():
            raise Unacceptable(("header: the file is empty; its first line names the columns",))
        return None

    async def _read(self, records: Iterator[Record], reader: RowReader, from_line: int) -> None:
        while turn := list(islice(records, _ROWS_A_TURN)):
            await asyncio.sleep(0)
            self._next_line = turn[0].line
            await self._import(self._rows(turn, reader, from_line))
            for refusal in sorted(self._refused, key=lambda refusal: refusal[0].line):
                self._counts.refuse(*refusal)
            self._refused.clear()

    def _rows(self, records: Iterable[Record], reader: RowReader, from_line: int) -> list[Row]:
        """Returns the rows of records, and refuses those that cannot be read. Raises Unacceptable: wrong header."""
        rows = []
        for record in records:
            if record.line < from_line and reader.columns():
                continue
            try:
                row = reader.read(record)
            except WrongHeader as error:
                raise Unacceptable((str(error),)) from None
            self._counts.begin_refused(reader)
            if row is None:
                continue
            self._counts.rows += 1
            if isinstance(row, BrokenRow):
                self._refused.append((row, "row", "row", row.reason))
            else:
                rows.append(row)
        return rows

    async def _import(self, rows: Iterable[Row]) -> None:
        requests = [(row, request) for row in rows if (request := self._request(row))]
        callees = [callee_of(request.phone_number, request.time_zone) for _, request in requests]
        contacts = [
            waiting_contact(request, callee, self._digests, self._created_at)
            for (_, request), callee in zip(requests, callees, strict=True)
        ]
        for (row, _), callee, contact in zip(requests, callees, contacts, strict=True):
            self._next_line = row.line
            times, on_result = self._groups.get(callee) or await self._open_group(callee)
            if times.first_at is None:
                column = "time_zone" if times.rule == "unknown_zone" else "phone_number"
                self._refused.append((row, times.rule, column, times.detail))
            elif times.requires_consent and contact.consent_at is None:
                self._refused.append((row, "consent", "consent_at", NO_CONSENT))
            else:
                self._batch.append((row, NewContact(contact, row.line, on_result)))
                if len(self._batch) >= BATCH:
                    await self.pass_on()

    async def pass_on(self) -> None:
        """Refuses the collected contacts whose numbers are listed, and adds the others.

        Raises Refused if the campaign is over, ContactCapReached at the first row above the cap, and Unavailable.
        """
        if not self._batch:
            return
        if not self._counts.is_dry_run and (refusal := await self._refusal_now()):
            raise Refused((f"{refusal}; {self._counts.added} contacts that were added before are not called",))
        digests = [contact.number_digest for _, (contact, _, _) in self._batch]
        listed = await self._contacts.listed(self._counts.campaign_id, self._list_names, digests)
        new = [one for _, one in self._batch if one.contact.number_digest not in listed]
        taken = await self._reserved.take(len(new)) if self._reserved else len(new)
        batch, self._batch = self._batch, []
        if taken < len(new):
            end = next(place for place, (_, one) in enumerate(batch) if one is new[taken])
            batch, self._batch = batch[:end], batch[end:]
        if listed:
            for row, (contact, _, _) in batch:
                if reason := listed.get(contact.number_digest):
                    self._counts.refuse(row, "do_not_call", "phone_number", reason)
        await self._importer.add(new[:taken])
        if self._batch and self._reserved:
            await self._importer.flush()
            raise self._reserved.reached(self.first_open_line(), self._counts.added)

    async def add_groups_again(self) -> None:
        """Adds the groups of this import once more if the campaign is over, so that its contacts are found and removed.

        Raises Unavailable.
        """
        if self._counts.is_dry_run or not await self._refusal_now():
            return
        for callee, (times, _) in self._groups.items():
            if times.first_at:
                await self._contacts.add_group(group_of(self._counts.campaign_id, callee))

    def first_open_line(self) -> int:
        """Returns the first line that has no result yet."""
        in_batch = self._batch[0][0].line if self._batch else None
        return min(line for line in (self._importer.first_open_line(), in_batch, self._next_line) if line)

    def _count(self, counter: list[int], is_added: bool) -> None:
        if is_added:
            self._counts.added += 1
            counter[0] += 1
        else:
            self._counts.duplicates += 1

    def _request(self, row: Row) -> ContactRequested | None:
        """Returns the contact of a row as a valid request, or refuses the row."""
        try:
            return self._valid_request(row.fields)
        except InvalidMessage as error:
            column, _, reason = error.reasons[0].partition(": ")
            field = column.partition(".")[0]
            kind = field if field in ContactRequested.model_fields else "row"  # the sender chooses names of fields
            self._refused.append((row, kind, column.removeprefix("variables."), reason))
            return None

    def _valid_request(self, fields: dict[str, Any]) -> ContactRequested:
        """Returns the contact of a row as a valid request. Raises InvalidMessage."""
        if "campaign_id" in fields:
            raise InvalidMessage(["campaign_id: the path names the campaign; leave it out"])
        try:
            request = ContactRequested.model_validate({**fields, "campaign_id": self._counts.campaign_id})
        except ValidationError as error:
            raise InvalidMessage.of(error) from None
        if refusals := request.refusals(self._created_at) or self._script.refusals(request.variables):
            raise InvalidMessage(refusals)
        return request

    async def _open_group(self, callee: Callee) -> tuple[CallingTimes, Callable[[bool], None]]:
        """Asks when a group may first be called, and adds the group to the campaign. Raises Unavailable."""
        campaign_id = self._counts.campaign_id
        if len(self._zone_groups | {callee.zone_group}) > MAX_GROUPS:
            detail = f"the campaign has {MAX_GROUPS} combinations of country, region and time zone; create another one"
            return CallingTimes(first_at=None, rule="too_many_groups", detail=detail), partial(self._count, [0])
        query = CallingTimesQuery(
            campaign_id=campaign_id, country=callee.country, regions=callee.regions, zones=callee.zones
        )
        times = await self._contacts.calling_times(query)
        if times.first_at and not self._counts.is_dry_run:
            await self._contacts.add_group(group_of(campaign_id, callee))
        self._zone_groups.add(callee.zone_group)
        self._groups[callee] = (times, partial(self._count, self._counts.open_group(callee, times)))
        return self._groups[callee]
