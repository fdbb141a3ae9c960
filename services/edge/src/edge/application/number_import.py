"""Imports a file of numbers into the do-not-call lists.

An import sends no command for a row whose number is on its list already, so the same file again costs one read a row.
The list may be older than a removal that is not decided yet. So rows are left out only after a moment at which no
command was undecided: any removal that precedes the import is decided then, and a later one may follow the row.
"""

import asyncio
import csv
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from contracts import CampaignId, NumberBlockRequested, PhoneNumber
from contracts.number_digests import NumberDigests
from contracts.number_state import ListScope
from contracts.values import DoNotCallListName
from contracts.vocabulary import DoNotCallSource
from edge.application.contact_cap import ReservedContacts
from edge.application.do_not_call import ONE_LIST, block_of
from edge.application.errors import Unacceptable
from edge.ports import Numbers, Requests, Unreadable

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

MAX_SHOWN = 100
"""How many refused rows an answer names."""
MAX_PENDING = 50
"""Rows of an import whose outcome is awaited at a time. So a single command waits behind few of them."""
BATCH = 500
"""Rows of an import that are compared with the lists together, and counted for the daily cap."""
MAX_COLUMNS = 20
"""Columns of a file. Each costs time in each row, also if the row ends before it."""
NUMBER_COLUMN, CAMPAIGN_COLUMN, LIST_COLUMN = "phone_number", "campaign_id", "list_name"
_NUMBER: TypeAdapter[str] = TypeAdapter(PhoneNumber)
_CAMPAIGN: TypeAdapter[str] = TypeAdapter(CampaignId)
_LIST: TypeAdapter[str] = TypeAdapter(DoNotCallListName)
_Row = tuple[int, NumberBlockRequested]
"""The line of a row, and its command."""


class RefusedRow(BaseModel):
    """A row of an import that was not added."""

    line: int
    reason: str


class ImportedNumbers(BaseModel):
    """The result of an import."""

    added: int = Field(description="numbers that are on their list now, and were not when their row was read")
    already_listed: int = Field(
        description="rows whose number was on its list already; they cost nothing of a daily cap"
    )
    undecided: int = Field(description="rows that are stored, but not decided yet")
    refused: int
    refused_rows: list[RefusedRow] = Field(description=f"the first {MAX_SHOWN} of them")


@dataclass(slots=True)
class _Import:
    added: int = 0
    already_listed: int = 0
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
            added=self.added,
            already_listed=self.already_listed,
            undecided=self.undecided,
            refused=self.refused,
            refused_rows=self._named(),
        )

    def _named(self) -> list[RefusedRow]:
        return sorted(self._first_refused, key=lambda row: row.line)[:MAX_SHOWN]


class NumberImports:
    """Imports files. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, numbers: Numbers, requests: Requests, digests: NumberDigests) -> None:
        self._numbers = numbers
        self._requests = requests
        self._digests = digests

    async def import_csv(
        self, text: str, allowed: frozenset[str] | None, reserved: ReservedContacts | None = None
    ) -> ImportedNumbers:
        """Lists the numbers of a CSV file. `allowed`: the campaigns that rows must name; None: any, or none.

        Wrong rows are refused, and the others are added. The same import again changes nothing. `reserved`: the daily
        cap of the key; None: no cap. Raises Unacceptable, and NumberCapReached at the first row above the cap.
        """
        reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""))  # a quoted cell may have line breaks
        rows, result, is_settled = _rows_of(reader, _columns(reader)), _Import(), False
        while batch := list(islice(rows, BATCH)):
            commands = [(line, one) for line, row in batch if (one := self._block_of(line, row, allowed, result))]
            is_settled = is_settled or await self._numbers.is_settled()
            new = await self._without_listed(commands, result) if is_settled else commands
            taken = await reserved.take(len(new)) if reserved else len(new)
            await _for_each(new[:taken], partial(self._send_row, result))
            if reserved and taken < len(new):
                raise reserved.reached(new[taken][0], result.added)
        return result.result()

    def _block_of(
        self, line: int, row: Mapping[str, str] | csv.Error, allowed: frozenset[str] | None, result: _Import
    ) -> NumberBlockRequested | None:
        """Returns the command of a row, or refuses the row."""
        if isinstance(row, csv.Error):
            result.refuse(line, f"{row}; check its quotes")
            return None
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
            return None
        return block_of(self._digests, number, ListScope(campaign_id, list_name), DoNotCallSource.IMPORT)

    async def _without_listed(self, rows: Sequence[_Row], result: _Import) -> list[_Row]:
        """Returns the rows whose number is not on its list yet, and counts the others."""
        listed: set[int] = set()

        async def look_up(line: int, command: NumberBlockRequested) -> None:
            with suppress(Unreadable):  # of a newer build, which decides
                number = await self._numbers.get(command.number_digest)
                scope = ListScope(command.campaign_id, command.list_name)
                if any(one.is_listed and one.scope == scope for one in number.do_not_call):
                    listed.add(line)

        await _for_each(rows, look_up)
        result.already_listed += len(listed)
        return [(line, command) for line, command in rows if line not in listed]

    async def _send_row(self, result: _Import, line: int, command: NumberBlockRequested) -> None:
        outcome = await self._requests.send(command)
        if outcome and not outcome.accepted:
            result.refuse(line, "; ".join(outcome.reasons))
        result.added += bool(outcome and outcome.accepted)
        result.undecided += outcome is None


async def _for_each(rows: Iterable[_Row], act: Callable[[int, NumberBlockRequested], Awaitable[None]]) -> None:
    """Awaits `act` for each row, for `MAX_PENDING` at a time. Raises its first error."""
    pending = asyncio.Semaphore(MAX_PENDING)

    async def one(row: _Row) -> None:
        async with pending:
            await act(*row)

    try:
        async with asyncio.TaskGroup() as tasks:
            for row in rows:
                tasks.create_task(one(row))
    except ExceptionGroup as failures:  # the first failure has cancelled the other rows
        raise failures.exceptions[0] from None


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
