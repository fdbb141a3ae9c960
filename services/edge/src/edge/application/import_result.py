"""The result of an import of contacts: counts, groups and the refused rows."""

from collections import Counter
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO

from pydantic import BaseModel, Field

from contracts.callees import Callee
from contracts.queries import CallingTimes
from edge.application.masking import mask_numbers
from edge.domain.contact_rows import REFUSED, BrokenRow, Row, RowReader, csv_line

MAX_REFUSED_ROWS = 100
"""How many refused rows the JSON answer lists."""
MAX_REFUSED_BYTES = 64 * 1024 * 1024
"""How many bytes of refused rows the CSV answer lists; further ones are only counted."""
_MEMORY_BYTES = 1024 * 1024
MAX_LISTED_GROUPS = 200


class RefusedRow(BaseModel):
    """A row that was refused."""

    line: int = Field(description="the line at which the row begins; the header is line 1")
    column: str = Field(description="the wrong column, or row if the row cannot be read")
    reason: str = Field(description="what is wrong, and what to do")


class ContactGroup(BaseModel):
    """Contacts that may be in the same places, and so have the same calling hours."""

    country: str = Field(description="ISO 3166-1 alpha-2; empty: unknown")
    regions: tuple[str, ...] = Field(description="possible regions, ISO 3166-2; empty: unknown")
    zones: tuple[str, ...] = Field(description="possible IANA time zones")
    contacts: int = Field(description="contacts that were added, or in a dry run would be")
    first_at: datetime | None = Field(description="when they may first be called; null: never")
    rule: str = Field(description="the rule that decides this")
    detail: str


class ImportResult(BaseModel):
    """What became of the rows. In a dry run nothing is added, and the counts say what an import would do now."""

    campaign_id: str
    dry_run: bool
    rows: int = Field(description="rows without the header and empty lines")
    added: int = Field(description="contacts that were added, or in a dry run would be")
    duplicates: int = Field(description="rows whose number already waits in the campaign")
    refused: dict[str, int] = Field(description="refused rows by the wrong column, or the rule that forbids the call")
    first_at: datetime | None = Field(description="when the first of the added contacts may be called; null: none")
    groups: list[ContactGroup] = Field(description=f"the first {MAX_LISTED_GROUPS}, by time")
    refused_rows: list[RefusedRow] = Field(
        description=f"the first {MAX_REFUSED_ROWS}; with `Accept: text/csv` the answer has all, each with its cells"
    )


class ImportCounts:
    """Counts the rows of an import while it runs. Its memory does not grow with the rows, but for the refused ones.

    `refused_csv` collects these for the answer in CSV; None: they are not asked for.
    """

    def __init__(self, campaign_id: str, *, is_dry_run: bool, with_csv: bool) -> None:
        self.campaign_id = campaign_id
        self.is_dry_run = is_dry_run
        self.rows = 0
        self.added = 0
        self.duplicates = 0
        self._refused: Counter[str] = Counter()
        self._refused_rows: list[RefusedRow] = []
        self._groups: dict[Callee, tuple[CallingTimes, list[int]]] = {}
        self.refused_csv: IO[bytes] | None = (
            SpooledTemporaryFile(_MEMORY_BYTES) if with_csv else None  # noqa: SIM115  `close` closes it
        )
        self._unlisted = 0

    @property
    def refused(self) -> int:
        """The number of refused rows."""
        return self._refused.total()

    def open_group(self, callee: Callee, times: CallingTimes) -> list[int]:
        """Returns the counter of a new group: a list with one number."""
        counter = [0]
        self._groups[callee] = (times, counter)
        return counter

    def refuse(self, row: Row | BrokenRow, kind: str, column: str, reason: str) -> None:
        """Counts a refused row. `kind`: under which it is counted."""
        self._refused[kind] += 1
        column, reason = mask_numbers(column), mask_numbers(reason)
        if len(self._refused_rows) < MAX_REFUSED_ROWS:
            self._refused_rows.append(RefusedRow(line=row.line, column=column, reason=reason))
        if (file := self.refused_csv) is None:
            return
        if file.tell() < MAX_REFUSED_BYTES:
            file.write(csv_line([row.line, column, reason, *row.cells]).encode(errors="replace"))
        else:
            self._unlisted += 1

    def close(self) -> None:
        """Removes the file of the refused rows."""
        if self.refused_csv:
            self.refused_csv.close()

    def begin_refused(self, reader: RowReader) -> None:
        """Writes the header of the refused rows, once."""
        if self.refused_csv and not self.refused_csv.tell():
            own = [f"{REFUSED}{name}" for name in ("line", "column", "reason")]
            self.refused_csv.write(csv_line([*own, *reader.columns()]).encode())

    def result(self) -> ImportResult:
        """Returns the result so far."""
        if self._unlisted and self.refused_csv:
            text = f"{self._unlisted} further refused rows are not listed: correct these and import the file again"
            self.refused_csv.write(csv_line(["", "row", text]).encode())
            self._unlisted = 0
        groups = [
            ContactGroup(
                country=callee.country,
                regions=callee.regions,
                zones=callee.zones,
                contacts=counter[0],
                first_at=times.first_at,
                rule=times.rule,
                detail=times.detail,
            )
            for callee, (times, counter) in self._groups.items()
            if counter[0]
        ]
        groups.sort(key=lambda group: (group.first_at is None, group.first_at or 0, -group.contacts))
        return ImportResult(
            campaign_id=self.campaign_id,
            dry_run=self.is_dry_run,
            rows=self.rows,
            added=self.added,
            duplicates=self.duplicates,
            refused=dict(self._refused),
            first_at=groups[0].first_at if groups else None,
            groups=groups[:MAX_LISTED_GROUPS],
            refused_rows=sorted(self._refused_rows, key=lambda row: row.line),
        )
