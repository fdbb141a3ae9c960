"""An export file: what was written is read unchanged, and a damaged file is refused."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centralita.replay.export_file import ExportWriter, read_messages, validate
from centralita.replay.manifest import VERSION, DamagedExport
from centralita.replay.scope import Scope
from contracts.personal import with_sealed
from records.messages import Message, from_json, to_json

STARTED_AT = datetime(2026, 3, 2, 15, tzinfo=UTC)
Lines = list[bytes]


def message(sequence: int, stream: str = "CALLS", subject: str = "dial.claimed.x", body: bytes = b"{}") -> Message:
    return Message(
        stream, sequence, STARTED_AT + timedelta(seconds=sequence), subject, {"ce-id": f"id-{sequence}"}, body
    )


def write_export(path: Path, *messages: Message) -> Path:
    with ExportWriter(path) as writer:
        for one in messages:
            writer.write(one)
        writer.close(Scope(), {"CALLS": 7}, ())
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    request = message(1, "REQUESTS", "call.requested")
    return write_export(tmp_path / "export.jsonl.gz", request, *(message(n) for n in (2, 3, 5, 8)))


@given(body=st.binary(max_size=200), headers=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3))
def test_a_message_with_any_body_and_headers_is_read_as_it_was_written(body: bytes, headers: dict[str, str]) -> None:
    one = Message("CALLS", 4, STARTED_AT, "dial.claimed.x", headers, body)
    line = to_json(one)
    assert from_json(line) == one
    assert "\n" not in line


def test_the_json_of_a_sealed_body_is_readable_in_an_export() -> None:
    one = message(4, body=with_sealed(b'{"turn":1}', b"\0\xff\0"))
    line = json.loads(to_json(one))
    assert (line["body"], line["sealed_base64"]) == ('{"turn":1}', "AP8A")
    assert from_json(to_json(one)) == one


def test_an_export_contains_its_messages_in_order_and_its_manifest_describes_them(export: Path) -> None:
    manifest = validate(export)
    assert [one.sequence for one in read_messages(export)] == [1, 2, 3, 5, 8]
    assert manifest.count == 5
    assert (manifest.streams["CALLS"].first, manifest.streams["CALLS"].last) == (2, 8)
    assert manifest.acknowledged == {"CALLS": 7}
    assert manifest.contracts["call.requested"] == 1


def test_an_export_that_fails_leaves_the_existing_file_unchanged(export: Path) -> None:
    before = export.read_bytes()

    def failing_export() -> None:
        with ExportWriter(export) as writer:
            writer.write(message(9))
            raise RuntimeError("the connection was lost")

    with pytest.raises(RuntimeError):
        failing_export()
    assert export.read_bytes() == before
    assert list(export.parent.iterdir()) == [export], "no partial file remains"


def change_manifest(**changes: object) -> Callable[[Lines], Lines]:
    return lambda lines: [json.dumps({**json.loads(lines[0]), **changes}).encode() + b"\n", *lines[1:]]


DAMAGES: dict[str, tuple[Callable[[Lines], Lines], int, str]] = {
    "one character of line 4 is changed": (
        lambda lines: [*lines[:3], lines[3].replace(b"id-3", b"id-9"), *lines[4:]],
        4,
        "its check is wrong",
    ),
    "line 3 is missing": (lambda lines: [*lines[:2], *lines[3:]], 3, "its check is wrong"),
    "two lines are swapped": (
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
        3,
        "its check is wrong",
    ),
    "the last line is missing": (
        lambda lines: lines[:-1],
        6,
        "lists 5 messages, the file has 4",
    ),
    "the end of the last line is missing": (
        lambda lines: [*lines[:-1], lines[-1][:30]],
        6,
        "the end of the line is missing",
    ),
    "a line is duplicated": (lambda lines: [*lines, lines[-1]], 7, "more lines than the 5"),
    "the digest is changed": (change_manifest(digest="0" * 64), 1, "the digest in the manifest"),
    "a newer format": (change_manifest(version=VERSION + 1), 1, f"format version {VERSION + 1}"),
    "a newer contract": (change_manifest(contracts={"dial.placed": 2}), 1, "dial.placed version 2"),
    "an unknown contract": (change_manifest(contracts={"dial.dreamt": 1}), 1, "knows no version"),
    "no manifest": (lambda lines: lines[1:], 1, "not the manifest"),
    "text": (lambda _: [b"hello\n"], 1, "not the manifest"),
    "an empty file": (lambda _: [], 1, "empty"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_refused_with_the_line_and_the_reason(export: Path, damage: str) -> None:
    change, line, reason = DAMAGES[damage]
    with gzip.open(export) as file:
        lines = file.readlines()
    export.write_bytes(gzip.compress(b"".join(change(lines))))
    with pytest.raises(DamagedExport, match=reason) as refused:
        validate(export)
    assert refused.value.line == line


def test_an_export_without_the_end_of_its_compressed_data_is_refused(export: Path) -> None:
    export.write_bytes(export.read_bytes()[:-20])
    with pytest.raises(DamagedExport, match="the end of the compressed data is missing"):
        validate(export)


def test_an_export_whose_compressed_data_are_damaged_is_refused(export: Path) -> None:
    data = bytearray(export.read_bytes())
    data[-8] ^= 0xFF
    export.write_bytes(data)
    with pytest.raises(DamagedExport, match="compressed data are damaged"):
        validate(export)


def test_a_file_that_is_not_an_export_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(DamagedExport, match="line 1: the compressed data are damaged"):
        validate(file)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (message(3, subject="timer"), "timer is not a subject of the stream CALLS"),
        (message(3, "OTHER"), "not a subject of the stream OTHER"),
        (message(2), "CALLS 2 follows 2: the sequences must increase"),
    ],
)
def test_a_message_that_its_stream_cannot_contain_is_refused(tmp_path: Path, wrong: Message, reason: str) -> None:
    path = write_export(tmp_path / "export.gz", message(2), wrong)
    with pytest.raises(DamagedExport, match=reason) as refused:
        validate(path)
    assert refused.value.line == 3
