"""An export on disk: what was written is what is read, and nothing that was changed on the way is."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centralita.replay.files import Writer, messages, validated
from centralita.replay.manifest import VERSION, Damaged
from centralita.replay.messages import Message, from_json, to_json
from centralita.replay.scope import Scope

BEGUN = datetime(2026, 3, 2, 15, tzinfo=UTC)
Lines = list[bytes]


def message(sequence: int, stream: str = "CALLS", subject: str = "dial.claimed.x", body: bytes = b"{}") -> Message:
    return Message(stream, sequence, BEGUN + timedelta(seconds=sequence), subject, {"ce-id": f"id-{sequence}"}, body)


def written(path: Path, *what: Message) -> Path:
    with Writer(path) as writer:
        for one in what:
            writer.write(one)
        writer.close(Scope(), {"CALLS": 7}, ())
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    asked = message(1, "REQUESTS", "call.requested")
    return written(tmp_path / "export.jsonl.gz", asked, *(message(n) for n in (2, 3, 5, 8)))


@given(body=st.binary(max_size=200), headers=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3))
def test_a_message_is_read_as_it_was_written_whatever_is_in_it(body: bytes, headers: dict[str, str]) -> None:
    one = Message("CALLS", 4, BEGUN, "dial.claimed.x", headers, body)
    line = to_json(one)
    assert from_json(line) == one
    assert "\n" not in line


def test_an_export_holds_its_messages_in_their_order_and_says_what_it_holds(export: Path) -> None:
    manifest = validated(export)
    assert [one.sequence for one in messages(export)] == [1, 2, 3, 5, 8]
    assert manifest.count == 5
    assert (manifest.streams["CALLS"].first, manifest.streams["CALLS"].last) == (2, 8)
    assert manifest.handled == {"CALLS": 7}
    assert manifest.contracts["call.requested"] == 1


def test_an_export_that_is_broken_off_leaves_what_stood_in_its_place(export: Path) -> None:
    before = export.read_bytes()

    def broken_off() -> None:
        with Writer(export) as writer:
            writer.write(message(9))
            raise RuntimeError("the connection was lost")

    with pytest.raises(RuntimeError):
        broken_off()
    assert export.read_bytes() == before
    assert list(export.parent.iterdir()) == [export], "no half of a file stays"


def in_manifest(**changes: object) -> Callable[[Lines], Lines]:
    return lambda lines: [json.dumps({**json.loads(lines[0]), **changes}).encode() + b"\n", *lines[1:]]


DAMAGES: dict[str, tuple[Callable[[Lines], Lines], int, str]] = {
    "a letter of line 4 is another one": (
        lambda lines: [*lines[:3], lines[3].replace(b"id-3", b"id-9"), *lines[4:]],
        4,
        "its check does not fit",
    ),
    "line 3 is missing": (lambda lines: [*lines[:2], *lines[3:]], 3, "its check does not fit"),
    "two lines have changed places": (
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
        3,
        "its check does not fit",
    ),
    "the last line is missing": (lambda lines: lines[:-1], 6, "cut: the manifest promises 5 messages, here are 4"),
    "the last line is cut": (lambda lines: [*lines[:-1], lines[-1][:30]], 6, "cut in the middle of the line"),
    "a line is there twice": (lambda lines: [*lines, lines[-1]], 7, "more lines than the 5"),
    "the digest is another one": (in_manifest(digest="0" * 64), 1, "the digest in the manifest"),
    "a newer format": (in_manifest(version=VERSION + 1), 1, f"format version {VERSION + 1}"),
    "a newer contract": (in_manifest(contracts={"dial.placed": 2}), 1, "dial.placed of version 2"),
    "a contract that nobody knows": (in_manifest(contracts={"dial.dreamt": 1}), 1, "knows none"),
    "no manifest": (lambda lines: lines[1:], 1, "no manifest"),
    "text": (lambda _: [b"hello\n"], 1, "no manifest"),
    "nothing": (lambda _: [], 1, "empty"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_refused_with_the_line_and_the_reason(export: Path, damage: str) -> None:
    change, line, reason = DAMAGES[damage]
    with gzip.open(export) as file:
        lines = file.readlines()
    export.write_bytes(gzip.compress(b"".join(change(lines))))
    with pytest.raises(Damaged, match=reason) as refused:
        validated(export)
    assert refused.value.line == line


def test_an_export_whose_compressed_data_are_cut_is_refused(export: Path) -> None:
    export.write_bytes(export.read_bytes()[:-20])
    with pytest.raises(Damaged, match="cut: the compressed data end"):
        validated(export)


def test_an_export_whose_compressed_data_are_damaged_is_refused(export: Path) -> None:
    data = bytearray(export.read_bytes())
    data[-8] ^= 0xFF
    export.write_bytes(data)
    with pytest.raises(Damaged, match="compressed data are damaged"):
        validated(export)


def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(Damaged, match="line 1: the compressed data are damaged"):
        validated(file)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (message(3, subject="timer"), "timer is no subject of the stream CALLS"),
        (message(3, "OTHER"), "no subject of the stream OTHER"),
        (message(2), "CALLS 2 comes after 2"),
    ],
)
def test_a_message_that_its_stream_cannot_hold_is_refused(tmp_path: Path, wrong: Message, reason: str) -> None:
    path = written(tmp_path / "export.gz", message(2), wrong)
    with pytest.raises(Damaged, match=reason) as refused:
        validated(path)
    assert refused.value.line == 3
