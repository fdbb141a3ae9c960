"""The do-not-call lists: adding, removing, checking, importing and listing numbers.

The orchestrator decides the commands and keeps the lists, with the state of each number. The edge reads them.
"""

import asyncio
import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from contracts import CampaignId, NumberBlockRequested, NumberCommand, NumberState, NumberUnblockRequested, PhoneNumber
from contracts.number_digests import NumberDigests
from contracts.number_state import ALL_CAMPAIGNS, ListScope
from contracts.personal import PLACEHOLDERS
from contracts.values import DoNotCallListName
from contracts.vocabulary import DoNotCallSource
from edge.application.calls import raise_if_refused
from edge.application.campaigns import Campaigns
from edge.application.errors import Unacceptable
from edge.ports import Numbers, Requests

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

MAX_SHOWN = 100
"""How many refused rows an answer names."""
MAX_PENDING = 50
"""Rows of an import whose outcome is awaited at a time. So a single command waits behind few of them."""
MAX_COLUMNS = 20
"""Columns of a file. Each costs time in each row, also if the row ends before it."""
NUMBER_COLUMN, CAMPAIGN_COLUMN, LIST_COLUMN = "phone_number", "campaign_id", "list_name"
_NUMBER: TypeAdapter[str] = TypeAdapter(PhoneNumber)
_CAMPAIGN: TypeAdapter[str] = TypeAdapter(CampaignId)
_LIST: TypeAdapter[str] = TypeAdapter(DoNotCallListName)
ONE_LIST = "give campaign_id or list_name, not both"


class DoNotCallEntryResource(BaseModel):
    """One entry: the number is on the list of this campaign, on the named list, or on that of all campaigns."""

    campaign_id: str | None = Field(description="null: a named list, or that of all campaigns")
    list_name: str | None = Field(description="null: the list of the campaign, or that of all campaigns")
    listed_at: datetime
    source: DoNotCallSource
    call_id: UUID | None = Field(
        description="the call in which the person opted out; null for a key that is limited to campaigns"
    )


class DoNotCallNumber(BaseModel):
    """A number and its entries; without an entry it may be called."""

    id: str = Field(description="the keyed digest of the number", examples=["6f1c7a0b9d2e4f58a3b1c6d7e8f90a12"])
    phone_number: str | None = Field(
        description="E.164; null: it is not listed, the person was erased, or a key that is limited to campaigns reads "
        "an entry that is not on their lists"
    )
    entries: list[DoNotCallEntryResource]

    @classmethod
    def of(
        cls, number: NumberState, scopes: Collection[ListScope] | None, campaigns: frozenset[str] | None
    ) -> "DoNotCallNumber":
        """Returns the entries of a number on these lists; None: on all.

        `campaigns`: those of a limited key, which reads a number and its calls only in entries of their lists.
        """
        listed = [one for one in number.do_not_call if one.is_listed and (scopes is None or one.scope in scopes)]
        own = [one.scope for one in listed if campaigns is None or one.campaign_id in campaigns]
        entries = [
            DoNotCallEntryResource(
                campaign_id=one.campaign_id,
                list_name=one.list_name,
                listed_at=one.changed_at,
                source=one.source,
                call_id=one.call_id if one.scope in own else None,
            )
            for one in listed
        ]
        is_known = bool(own) and number.phone_number not in PLACEHOLDERS
        return cls(id=number.number_digest, phone_number=number.phone_number if is_known else None, entries=entries)


class RefusedRow(BaseModel):
    """A row of an import that was not added."""

    line: int
    reason: str


class ImportedNumbers(BaseModel):
    """The result of an import."""

    added: int = Field(description="numbers that are listed now, also those that were listed before")
    undecided: int = Field(description="rows that are stored, but not decided yet")
    refused: int
    refused_rows: list[RefusedRow] = Field(description=f"the first {MAX_SHOWN} of them")


@dataclass(frozen=True, slots=True)
class ListPage:
    """Listed numbers; `next_sequence`: where the next page begins, if there may be one."""

    numbers: Sequence[DoNotCallNumber]
    next_sequence: int | None


@dataclass(slots=True)
class _Import:
    added: int = 0
    undecided: int = 0
    refused: int = 0
    _first_refused: list[RefusedRow] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Counts a refused row, and keeps those that the result may name."""
        self.refused += 1
        self._first_refused.append(RefusedRow(line=line, reason=reason))
        if len(self._first_refused) >= 2 * MAX_SHOWN:  # rows are not decided in their order
            self._first_refused = self._named()

    def result(self) -> ImportedNumbers:
        return ImportedNumbers(
            added=self.added, undecided=self.undecided, refused=self.refused, refused_rows=self._named()
        )

    def _named(self) -> list[RefusedRow]:
        return sorted(self._first_refused, key=lambda row: row.line)[:MAX_SHOWN]


class DoNotCallLists:
    """Commands and queries about the lists. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, numbers: Numbers, campaigns: Campaigns, requests: Requests, digests: NumberDigests) -> None:
        self._numbers = numbers
        self._campaigns = campaigns
        self._requests = requests
        self._digests = digests

    def id_of(self, phone_number: str) -> str:
        """Returns the id of a number."""
        return self._digests.of(phone_number)

    async def check(
        self, phone_number: str, concerning: ListScope, campaigns: frozenset[str] | None
    ) -> DoNotCallNumber:
        """Returns the entries of a number; with a campaign, those that concern it; with a list, those of the list.

        `campaigns`: those of a limited key; None: the key is not limited.
        """
        number = await self._numbers.get(self.id_of(phone_number))
        found = DoNotCallNumber.of(number, await self._scopes(concerning), campaigns)
        is_shown = found.entries and number.phone_number not in (None, *PLACEHOLDERS)
        return found.model_copy(update={"phone_number": phone_number if is_shown else None})

    async def add(
        self, phone_number: str, scope: ListScope, campaigns: frozenset[str] | None
    ) -> tuple[DoNotCallNumber, bool]:
        """Lists a number. Returns its entries, and whether the command is decided. Raises Refused.

        To a limited key, the entries are those that concern the campaign of `scope`.
        """
        return await self._command(self._block(phone_number, scope, DoNotCallSource.REQUEST), scope, campaigns)

    async def remove(
        self, number_id: str, scope: ListScope, campaigns: frozenset[str] | None
    ) -> tuple[DoNotCallNumber, bool]:
        """Removes the entry of a list. The rest is as for `add`."""
        command = NumberUnblockRequested(number_digest=number_id, **scope._asdict())
        return await self._command(command, scope, campaigns)

    async def import_csv(self, text: str, allowed: frozenset[str] | None) -> ImportedNumbers:
        """Lists the numbers of a CSV file. `allowed`: the campaigns that rows must name; None: any, or none.

        Wrong rows are refused, and the others are added. The same import again changes nothing. Raises Unacceptable.
        """
        rows = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""))  # a quoted cell may have line breaks
        columns = _columns(rows)
        result, pending = _Import(), asyncio.Semaphore(MAX_PENDING)
        try:
            async with asyncio.TaskGroup() as tasks:
                for line, row in _rows_of(rows, columns):
                    if isinstance(row, csv.Error):
                        result.refuse(line, f"{row}; check its quotes")
                        continue
                    await pending.acquire()
                    task = tasks.create_task(self._import_row(line, row, allowed, result))
                    task.add_done_callback(lambda _: pending.release())
        except ExceptionGroup as failures:  # the first failure has cancelled the other rows
            raise failures.exceptions[0] from None
        return result.result()

    async def page(
        self, concerning: ListScope, campaigns: frozenset[str] | None, *, after_sequence: int, limit: int
    ) -> ListPage:
        """Returns listed numbers and their entries, of which those are shown that `check` shows."""
        scopes = await self._scopes(concerning)
        page = await self._numbers.page(after_sequence=after_sequence, limit=limit)
        found = [DoNotCallNumber.of(number, scopes, campaigns) for number in page.numbers]
        return ListPage([one for one in found if one.entries], page.last_sequence if page.has_more else None)

    async def _import_row(
        self, line: int, row: Mapping[str, str], allowed: frozenset[str] | None, result: _Import
    ) -> None:
        campaign_id, list_name = (row.get(name, "").strip() or None for name in (CAMPAIGN_COLUMN, LIST_COLUMN))
        try:
            number = _valid(NUMBER_COLUMN, _NUMBER, row.get(NUMBER_COLUMN, "").strip())
            if campaign_id is not None:
                _valid(CAMPAIGN_COLUMN, _CAMPAIGN, campaign_id)
            if list_name is not None:
                _valid(LIST_COLUMN, _LIST, list_name)
            if campaign_id and list_name:
                raise ValueError(f"{LIST_COLUMN}: {ONE_LIST}")
            if allowed is not None and campaign_id not in allowed:
                raise ValueError(f"campaign_id: this key is limited to {', '.join(sorted(allowed))}")
        except ValueError as error:
            result.refuse(line, str(error))
            return
        scope = ListScope(campaign_id, list_name)
        outcome = await self._requests.send(self._block(number, scope, DoNotCallSource.IMPORT))
        if outcome and not outcome.accepted:
            result.refuse(line, "; ".join(outcome.reasons))
        result.added += bool(outcome and outcome.accepted)
        result.undecided += outcome is None

    async def _scopes(self, concerning: ListScope) -> Collection[ListScope] | None:
        """Returns the lists that apply to a campaign, or the named list; None: all lists."""
        if concerning.list_name is not None:
            return (concerning,)
        if concerning.campaign_id is None:
            return None
        terms = (await self._campaigns.state(concerning.campaign_id)).dial_terms
        return ALL_CAMPAIGNS, concerning, *(ListScope(list_name=name) for name in terms.do_not_call_lists)

    def _block(self, phone_number: str, scope: ListScope, source: DoNotCallSource) -> NumberBlockRequested:
        digest = self.id_of(phone_number)
        return NumberBlockRequested(number_digest=digest, phone_number=phone_number, source=source, **scope._asdict())

    async def _command(
        self, command: NumberCommand, scope: ListScope, campaigns: frozenset[str] | None
    ) -> tuple[DoNotCallNumber, bool]:
        outcome = await self._requests.send(command)
        raise_if_refused(outcome)
        scopes = await self._scopes(ALL_CAMPAIGNS if campaigns is None else scope)
        number = await self._numbers.get(command.number_digest)
        return DoNotCallNumber.of(number, scopes, campaigns), outcome is not None


def _columns(rows: "CsvReader") -> list[str]:
    """Returns the names of the columns. Raises Unacceptable."""
    try:
        columns = next(rows, [])
    except csv.Error as error:
        raise _wrong_header(f"is not CSV: {error}; check its quotes") from None
    if NUMBER_COLUMN not in columns:
        raise _wrong_header(f"names no column {NUMBER_COLUMN}")
    if len(columns) > MAX_COLUMNS:
        raise _wrong_header(f"names {len(columns)} columns; at most {MAX_COLUMNS} are accepted")
    return columns


def _wrong_header(reason: str) -> Unacceptable:
    return Unacceptable((f"body: the first line {reason}",))


def _rows_of(rows: "CsvReader", columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | csv.Error]]:
    """Yields the rows, and the error of each row that cannot be read, with the line at which each begins."""
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
        else:
            if cells:
                yield line, dict(zip(columns, cells, strict=False))


def _valid(column: str, type: TypeAdapter[str], value: str) -> str:
    """Returns the value of a column. Raises ValueError, which names the column."""
    try:
        return type.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{column}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
