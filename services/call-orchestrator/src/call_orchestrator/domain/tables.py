"""Tables of rules in CSV: one that is shipped, and a file of the operator whose rows replace some of its rows."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")


class InvalidTable(ValueError):
    """A table is invalid; the message names the file, the line, the column and the remedy."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its file, its number, and its cells by column."""

    file: str
    number: int
    cells: Mapping[str, str]

    def value(self, column: str, convert: Callable[[str], _T]) -> _T:
        """Returns the converted cell. Raises InvalidTable if `convert` raises ValueError."""
        try:
            return convert(self.cells[column])
        except ValueError as error:
            raise self.invalid(str(error), column) from error

    def invalid(self, problem: str, column: str) -> InvalidTable:
        """Returns the error about a cell."""
        return InvalidTable(f"{self.file}, line {self.number}, column {column}: {problem}")


def read_file(path: Path, setting: str) -> bytes:
    """Returns the content of an operator's file. Raises InvalidTable, which names its setting."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidTable(f"{path}: {error.strerror or error}; {setting} names a readable CSV file") from error


def read_lines(content: bytes, file: str, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> Iterator[Line]:
    """Yields the lines of a CSV file with these columns, without empty ones. Raises InvalidTable.

    `optional`: columns that a file may leave out; their cells are then empty.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidTable(f"{file}, line {line}: not UTF-8; save the file as UTF-8") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, [])
        if {*header, *optional} != {*columns, *optional} or len(header) != len(set(header)):
            remedy = f"; {', '.join(optional)} is optional" if optional else ""
            raise InvalidTable(f"{file}, line 1: the header must have these columns: {','.join(columns)}{remedy}")
        for cells in lines:
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise InvalidTable(
                    f"{file}, line {lines.line_num}: {len(cells)} columns instead of {len(header)}; "
                    "quote a cell with a comma"
                )
            values = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
            yield Line(file, lines.line_num, dict.fromkeys(optional, "") | values)
    except csv.Error as error:
        raise InvalidTable(f"{file}, line {lines.line_num}: {error}; write CSV with double quotes") from error


def one_of(*values: str) -> Callable[[str], str]:
    """Returns a conversion that accepts these values only."""

    def convert(text: str) -> str:
        if text not in values:
            raise ValueError(f"{text!r} is not known; write one of {' '.join(values)}")
        return text

    return convert


def not_empty(text: str) -> str:
    """Returns a text that is not empty. Raises ValueError."""
    if not text:
        raise ValueError("empty; name the law or the decision on which the row is based")
    return text


CONFIDENCE = one_of("low", "medium", "high")
"""The conversion of a column that says how far a row was checked."""
