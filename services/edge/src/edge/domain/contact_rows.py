"""The rows of a file of contacts, CSV or JSON lines, as the fields of a contact. Pure; values are checked later."""

import csv
import io
import json
import re
from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, Self

from contracts.texts import MAX_NAME_CHARACTERS, MAX_VARIABLES, variable_refusals
from edge.domain.records import MAX_RECORD_BYTES, Record

PHONE_NUMBER = "phone_number"
OWN_COLUMNS = (PHONE_NUMBER, "contact_id", "time_zone", "language", "consent_at", "consent_source")
METADATA = "metadata."
REFUSED = "refused_"
"""Columns of the answer with the refused rows. An import ignores them, so that the corrected answer is a valid file."""
MAX_COLUMNS = 200
_BOM = b"\xef\xbb\xbf"
_FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
"""How a cell begins that a spreadsheet may run as a formula, also in full width."""
_NUMBER = re.compile(r"\+[0-9 ().-]*")
"""A phone number begins like a formula, and runs nothing."""


class _Owner(IntEnum):
    """To which part of a contact a column belongs; NONE: it is ignored."""

    CONTACT = 0
    VARIABLES = 1
    METADATA = 2
    NONE = 3


class WrongHeader(ValueError):
    """The header of the file is wrong. `column`: the name of the wrong column, or ``header``."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")
        self.column = column
        self.reason = reason


class Row(NamedTuple):
    """One row: the fields of its contact, and the cells that the answer with the refused rows repeats."""

    line: int
    fields: dict[str, Any]
    cells: Sequence[str]


class BrokenRow(NamedTuple):
    """A row that cannot be read, and why."""

    line: int
    reason: str
    cells: Sequence[str]


class RowReader(Protocol):
    """Reads the records of one format."""

    is_csv: bool

    def read(self, record: Record) -> Row | BrokenRow | None:
        """Returns the row of a record; None for the header and for an empty line. Raises WrongHeader."""

    def columns(self) -> Sequence[str]:
        """Returns the columns of `Row.cells`, once the header is read."""


class _Lines:
    """The line that one `csv.reader` parses next: a reader for each line would take as long as the parsing.

    No other line follows it, so an open quote is an error of its own record.
    """

    def __init__(self) -> None:
        self.next: str | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line, self.next = self.next, None
        if line is None:
            raise StopIteration
        return line


class CsvRows:
    """Rows of CSV (RFC 4180) in UTF-8. The first record is the header.

    Of the columns, `phone_number` is required, and the others of `OWN_COLUMNS` are optional. A column ``metadata.x`` is
    an entry of the metadata, every other one is a variable. An empty cell is a value that is missing.
    """

    is_csv = True

    def __init__(self, required_variables: Collection[str] = ()) -> None:
        self._required = required_variables
        self._lines = _Lines()
        self._reader = csv.reader(self._lines, strict=True)
        self._columns: list[str] | None = None
        self._places: list[tuple[_Owner, str]] = []
        """For each column, where its cells belong."""
        self._has_refused = False

    def read(self, record: Record) -> Row | BrokenRow | None:
        """Returns the row of a record; None for the header and for an empty line. Raises WrongHeader."""
        if self._columns is None:
            self._columns = self._header(record)
            self._places = [_place(column) for column in self._columns]
            self._has_refused = any(owner is _Owner.NONE for owner, _ in self._places)
            return None
        found = _decoded(record)
        if isinstance(found, BrokenRow):
            return found
        try:
            self._lines.next = found
            cells = next(self._reader, [])
        except csv.Error as error:
            return BrokenRow(record.line, f"{error}; write CSV with double quotes", (found,))
        if not any(cells):
            return None
        if len(cells) != len(self._columns):
            reason = f"{len(cells)} cells instead of {len(self._columns)}; quote a cell with a comma or a quote"
            return BrokenRow(record.line, reason, (found,))
        if self._has_refused:
            cells = [_without_quote(cell) for cell in cells]
        variables: dict[str, str] = {}
        metadata: dict[str, str] = {}
        fields: dict[str, Any] = {"variables": variables, "metadata": metadata}
        owners: tuple[dict[str, Any], ...] = (fields, variables, metadata, {})
        for (owner, name), cell in zip(self._places, cells, strict=True):
            if value := cell.strip():
                owners[owner][name] = value
        return Row(record.line, fields, self._kept(cells))

    def columns(self) -> Sequence[str]:
        """Returns the columns of the file, without those of refused rows."""
        return self._kept(self._columns or ())

    def _kept(self, cells: Sequence[str]) -> Sequence[str]:
        if not self._has_refused:
            return cells
        pairs = zip(self._columns or (), cells, strict=True)
        return [cell for column, cell in pairs if not column.startswith(REFUSED)]

    def _header(self, record: Record) -> list[str]:
        if record.content is None:
            raise WrongHeader("header", f"longer than {MAX_RECORD_BYTES:,} bytes; the first line names the columns")
        try:
            text = record.content.removeprefix(_BOM).decode()
            columns = [cell.strip() for cell in next(csv.reader((text,), strict=True), [])]
        except UnicodeDecodeError:
            raise WrongHeader("header", "not UTF-8; save the file as CSV in UTF-8") from None
        except csv.Error as error:
            raise WrongHeader("header", f"{error}; write CSV with double quotes") from None
        _check_columns(columns)
        for name in self._required:
            if name not in columns:
                raise WrongHeader(name, "the script of the campaign needs this variable; add the column")
        return columns


class JsonRows:
    """JSON lines in UTF-8: each line is one object with the fields of a contact."""

    is_csv = False

    def read(self, record: Record) -> Row | BrokenRow | None:
        """Returns the row of a record; None for an empty line."""
        if record.line == 1 and record.content:
            record = Record(1, record.content.removeprefix(_BOM))
        found = _decoded(record)
        if isinstance(found, BrokenRow):
            return found
        if not found.strip():
            return None
        try:
            fields = json.loads(found)
        except ValueError as error:
            return BrokenRow(record.line, f"not JSON: {error}", (found,))
        except RecursionError:
            return BrokenRow(record.line, "too deeply nested; write one flat object", (found,))
        if not isinstance(fields, dict):
            return BrokenRow(record.line, 'not an object; write {"phone_number": "+12125550123", …}', (found,))
        return Row(record.line, fields, (found,))

    def columns(self) -> Sequence[str]:
        """Returns one column for the whole line."""
        return ("row",)


def csv_line(cells: Sequence[object]) -> str:
    """Returns one line of CSV. A cell that a spreadsheet may run as a formula begins with a quote (')."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_with_quote(str(cell)) for cell in cells])
    return line.getvalue()


def _with_quote(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _without_quote(cell: str) -> str:
    """Returns a cell as it was before `csv_line` wrote it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def _decoded(record: Record) -> str | BrokenRow:
    if record.content is None:
        reason = f"longer than {MAX_RECORD_BYTES:,} bytes, or a quote is not closed; check its quotes"
        return BrokenRow(record.line, reason, ())
    try:
        return record.content.decode()
    except UnicodeDecodeError:
        return BrokenRow(record.line, "not UTF-8; save the file as UTF-8", (record.content.decode(errors="replace"),))


def _place(column: str) -> tuple[_Owner, str]:
    if column in OWN_COLUMNS:
        return _Owner.CONTACT, column
    if column.startswith(METADATA):
        return _Owner.METADATA, column.removeprefix(METADATA)
    return (_Owner.NONE if column.startswith(REFUSED) else _Owner.VARIABLES), column


def _check_columns(columns: list[str]) -> None:
    if PHONE_NUMBER not in columns:
        remedy = "separate the columns by commas" if any(";" in column for column in columns) else "name the columns"
        raise WrongHeader(PHONE_NUMBER, f"no such column; {remedy} in the first line, such as phone_number,name")
    if len(columns) > MAX_COLUMNS:
        raise WrongHeader("header", f"{len(columns)} columns; at most {MAX_COLUMNS} are accepted")
    for position, column in enumerate(columns, start=1):
        if not column:
            raise WrongHeader(f"column {position}", "has no name; name or remove it")
        if column in columns[: position - 1]:
            raise WrongHeader(column, "two columns have this name; rename or remove one")
    variables = [
        column for column in columns if column not in OWN_COLUMNS and not column.startswith((METADATA, REFUSED))
    ]
    for column in variables:
        if variable_refusals({column: ""}):
            raise WrongHeader(column[:MAX_NAME_CHARACTERS], "no name of a variable; write letters, digits and _")
    if len(variables) > MAX_VARIABLES:
        raise WrongHeader("header", f"{len(variables)} variables; at most {MAX_VARIABLES} are accepted")
