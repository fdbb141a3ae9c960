"""Rows of CSV and of JSON lines, and files that are wrong or hostile."""

import csv

import pytest

from edge.domain.contact_rows import BrokenRow, CsvRows, JsonRows, Row, WrongHeader, csv_line
from edge.domain.records import Record


def reader(header: str, *required: str) -> CsvRows:
    rows = CsvRows(required)
    assert rows.read(Record(1, header.encode())) is None
    return rows


def test_columns_become_fields_variables_and_metadata_and_an_empty_cell_is_missing() -> None:
    rows = reader("\ufeffname, phone_number ,time_zone,metadata.branch,visit")
    row = rows.read(Record(2, 'Ana,+12125550123,,"centro, 2", mañana '.encode()))
    assert isinstance(row, Row)
    assert row.fields == {
        "phone_number": "+12125550123",
        "variables": {"name": "Ana", "visit": "mañana"},
        "metadata": {"branch": "centro, 2"},
    }
    assert row.line == 2


@pytest.mark.parametrize(
    ("header", "column"),
    [
        (b"name,number", "phone_number"),
        (b"phone_number;name", "phone_number"),
        (b"phone_number,name,name", "name"),
        (b"phone_number,,name", "column 2"),
        (b"phone_number,first name", "first name"),
        (b"phone_number," + b",".join(b"a%d" % number for number in range(101)), "header"),
        (b"phone_number," + b",".join(b"a%d" % number for number in range(10_000)), "header"),
        (b'phone_number,"name', "header"),
        ("phone_number,año".encode("latin-1"), "header"),
        ("phone_number\n".encode("utf-16"), "header"),
        (None, "header"),
        (b"", "phone_number"),
        (b"phone_number\0", "phone_number"),
        (b"phone_number,other", "name"),
    ],
)
def test_a_wrong_header_is_refused_with_the_column_and_the_remedy(header: bytes | None, column: str) -> None:
    with pytest.raises(WrongHeader) as wrong:
        CsvRows(["name"]).read(Record(1, header))
    assert wrong.value.column == column
    assert wrong.value.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"+12125550123", "1 cells instead of 2"),
        (b"+12125550123,Ana,more", "3 cells instead of 2"),
        (b'+12125550123,"A"na', "write CSV with double quotes"),
        (b'+12125550123,"Ana', "unexpected end of data; write CSV with double quotes"),
        (b'"', "unexpected end of data; write CSV with double quotes"),
        (b"+12125550123,A\rB", "write CSV with double quotes"),
        ("+12125550123,Ñ".encode("latin-1"), "not UTF-8"),
        (None, "longer than 65,536 bytes"),
    ],
)
def test_a_broken_row_is_refused_and_the_next_one_is_read(content: bytes | None, reason: str) -> None:
    rows = reader("phone_number,name")
    broken = rows.read(Record(2, content))
    assert isinstance(broken, BrokenRow)
    assert reason in broken.reason
    assert isinstance(rows.read(Record(3, b"+12125550123,Ana")), Row)


def test_empty_lines_are_left_out() -> None:
    rows = reader("phone_number,name")
    assert [rows.read(Record(2, content)) for content in (b"", b",", b'""')] == [None, None, None]


def test_the_columns_of_a_corrected_answer_are_ignored() -> None:
    rows = reader("refused_line,refused_column,refused_reason,phone_number,name")
    row = rows.read(Record(2, b"7,phone_number,no such number,+12125550123,Ana"))
    assert isinstance(row, Row)
    assert row.fields == {"phone_number": "+12125550123", "variables": {"name": "Ana"}, "metadata": {}}
    assert (rows.columns(), row.cells) == (["phone_number", "name"], ["+12125550123", "Ana"])


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("Ana", "Ana"),
        ("+1 (212) 555-0123", "+1 (212) 555-0123"),
        ("=1+1", "'=1+1"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("  =1", "'  =1"),
        ("'=1", "''=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_a_formula_is_written_with_a_quote_and_read_back_without_it(cell: str, written: str) -> None:
    line = csv_line(["7", "name", "a reason", "+12125550123", cell])
    [cells] = csv.reader([line])
    assert cells[-1] == written
    rows = reader("refused_line,refused_column,refused_reason,phone_number,name")
    row = rows.read(Record(2, line.strip().encode()))
    assert isinstance(row, Row)
    assert row.cells == ["+12125550123", cell]


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{",
        b"null",
        b'{"phone_number": ' + b"9" * 5_000 + b"}",
        b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b"\xff",
        None,
    ],
)
def test_a_line_that_is_no_object_is_refused(content: bytes | None) -> None:
    row = JsonRows().read(Record(1, content))
    assert isinstance(row, BrokenRow)
    assert row.reason


def test_an_object_is_the_fields_of_a_contact() -> None:
    row = JsonRows().read(Record(1, b'\xef\xbb\xbf{"phone_number": "+12125550123", "variables": {"name": "Ana"}}'))
    assert isinstance(row, Row)
    assert row.fields == {"phone_number": "+12125550123", "variables": {"name": "Ana"}}
