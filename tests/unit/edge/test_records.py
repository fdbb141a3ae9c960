"""Dividing a file into records: lines and quotes, in parts of any size, with bounded memory."""

import csv
import random
import sys

import pytest

from edge.domain.records import MAX_RECORD_BYTES, Record, RecordSplitter


def split(content: bytes, size: int = 1 << 20, *, is_csv: bool = True) -> list[Record]:
    splitter = RecordSplitter(is_csv=is_csv)
    parts = (content[start : start + size] for start in range(0, len(content), size))
    return [record for part in parts for record in splitter.feed(part)] + list(splitter.end())


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", []),
        (b"a", [Record(1, b"a")]),
        (b"a\nb\n", [Record(1, b"a"), Record(2, b"b")]),
        (b"a\r\n\r\nb", [Record(1, b"a"), Record(2, b""), Record(3, b"b")]),
        (b'a,"b\nc"\nd\n', [Record(1, b'a,"b\nc"'), Record(3, b"d")]),
        (b'"a ""b"" c"\nd', [Record(1, b'"a ""b"" c"'), Record(2, b"d")]),
        (b'a,"open\nb\nc\n', [Record(1, None), Record(2, b"b"), Record(3, b"c")]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_record_ends_at_a_line_break_outside_quotes(content: bytes, records: list[Record], size: int) -> None:
    assert split(content, size) == records


def test_a_quote_in_json_lines_does_not_continue_a_line() -> None:
    assert split(b'{"a": "\\""}\n{}', is_csv=False) == [Record(1, b'{"a": "\\""}'), Record(2, b"{}")]


@pytest.mark.parametrize("seed", range(20))
def test_written_csv_is_divided_as_it_was_written_in_parts_of_any_size(seed: int) -> None:
    chance = random.Random(seed)
    rows = [["".join(chance.choices('ab",\n é', k=chance.randrange(12))) for _ in range(3)] for _ in range(200)]
    lines: list[str] = []

    class Lines:
        def write(self, text: str) -> int:
            lines.append(text)
            return len(text)

    csv.writer(Lines(), lineterminator="\n").writerows(rows)
    content = "".join(lines).encode()
    records = split(content, chance.randrange(1, 50))
    assert [next(csv.reader([(record.content or b"").decode()], strict=True)) for record in records] == rows
    starts = [content[: content.index(record.content or b"")].count(b"\n") + 1 for record in records[:1]]
    assert starts == [1]
    assert [record.line for record in records] == [
        1 + sum(line.count("\n") for line in lines[:number]) for number in range(len(lines))
    ]


@pytest.mark.parametrize("size", [1_000, 50_000, 1 << 20])
def test_a_line_that_is_too_long_is_left_out_and_the_next_one_is_read(size: int) -> None:
    long = b"x" * (2 * MAX_RECORD_BYTES)
    assert split(b"a\n" + long + b"\nb\n" + long, size) == [
        Record(1, b"a"),
        Record(2, None),
        Record(3, b"b"),
        Record(4, None),
    ]


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    lines = [b'"a', *[b"b,c"] * 40_000]
    records = split(b"\n".join(lines), 65_536)
    assert records[0] == Record(1, None)
    assert [record.content for record in records[1:]] == lines[1:]
    assert records[-1].line == len(lines)


@pytest.mark.parametrize("line", [b"x" * 1_000_000, b'"' + b"x\n" * 500_000, b'"\n' * 500_001, b'"' * 999_999])
def test_the_memory_of_a_hostile_file_is_bounded(line: bytes) -> None:
    splitter = RecordSplitter(is_csv=True)
    for start in range(0, len(line), 4096):
        for record in splitter.feed(line[start : start + 4096]):
            assert len(record.content or b"") <= MAX_RECORD_BYTES
        assert len(splitter._rest) <= MAX_RECORD_BYTES + 4096


def test_lines_within_an_open_quote_are_searched_once_in_parts_of_any_size() -> None:
    """Otherwise a client that sends a file byte by byte keeps the process busy."""

    def calls(lines: int) -> int:
        count = 0

        def on_event(_: object, event: str, __: object) -> None:
            nonlocal count
            count += event == "c_call"

        splitter = RecordSplitter(is_csv=True)
        list(splitter.feed(b'"'))
        sys.setprofile(on_event)
        try:
            for _ in range(lines):
                list(splitter.feed(b"\n"))
        finally:
            sys.setprofile(None)
        return count

    assert calls(800) < 3 * calls(400)
