"""Divides the bytes of a file into records, with flat memory: lines, or for CSV lines until each quote is closed."""

from collections.abc import Iterator
from typing import NamedTuple

MAX_RECORD_BYTES = 65_536


class Record(NamedTuple):
    """One record without the end of its line. `line`: that of its beginning; the first one is 1.

    `content` is None if the record is longer than `MAX_RECORD_BYTES`.
    """

    line: int
    content: bytes | None


class RecordSplitter:
    """Returns the records of a file as its parts arrive. A part may end anywhere.

    In CSV a quoted cell may contain line breaks, and a quote within it is doubled. So a record is complete at the first
    line break before which the number of quotes is even (RFC 4180). If that makes a record too long, a quote is
    missing: its first line alone is the record, and the next one begins after it.
    """

    def __init__(self, *, is_csv: bool) -> None:
        self._is_csv = is_csv
        self._rest = b""
        self.next_line = 1
        """The line at which the next record begins."""
        self._is_skipping = False
        """Whether the present line is too long, and is skipped until it ends."""
        self._searched_bytes = 0
        """The lines of the present record in which no end was found. They are not searched again with the next part."""

    def feed(self, part: bytes) -> Iterator[Record]:
        """Yields the records that are complete with this part. Consume all of them before the next part."""
        data, start = self._rest + part, 0
        if self._is_skipping:
            start = data.find(b"\n") + 1
            self._is_skipping = start == 0
            self.next_line += not self._is_skipping
        while not self._is_skipping:
            end = self._end(data, start)
            if end < 0 and len(data) - start <= MAX_RECORD_BYTES:
                break
            if end < 0 or end - start > MAX_RECORD_BYTES:
                end, self._searched_bytes = data.find(b"\n", start), 0
                yield Record(self.next_line, None)
                self._is_skipping = end < 0
                self.next_line += end >= 0
            else:
                yield self._record(data[start:end])
            start = end + 1
        self._rest = b"" if self._is_skipping else data[start:]

    def end(self) -> Iterator[Record]:
        """Yields the records that end with the file. A quote that is still open makes its first line a record."""
        while self._rest:
            _, line_break, rest = self._rest.partition(b"\n")
            if not line_break or not self._is_csv or self._rest.count(b'"') % 2 == 0:
                yield self._record(self._rest)
                return
            yield Record(self.next_line, None)
            self.next_line, self._rest, self._searched_bytes = self.next_line + 1, b"", 0
            yield from self.feed(rest)

    def _end(self, data: bytes, start: int) -> int:
        """Returns where the record that begins at `start` ends; -1 if that is not known yet.

        A quote is open at the end of each searched line, so the search of the next line begins with an open quote.
        """
        if not self._is_csv:
            return data.find(b"\n", start)
        line_start, is_open = start + self._searched_bytes, self._searched_bytes > 0
        while (end := data.find(b"\n", line_start)) >= 0:
            is_open ^= data.count(b'"', line_start, end) % 2 == 1
            if not is_open:
                self._searched_bytes = 0
                return end
            line_start = end + 1
        self._searched_bytes = line_start - start
        return -1

    def _record(self, content: bytes) -> Record:
        record = Record(self.next_line, content.removesuffix(b"\r"))
        self.next_line += 1 + content.count(b"\n")
        return record
