"""The search for texts of an erased person."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from centralita.demo.erasure import personal_texts
from centralita.demo.text_search import EXPORTS, LOGS, RAW_FILES, TextSearch, search_files


@pytest.mark.parametrize(
    "stored", ['He said "no" in Málaga.', r"He said \"no\" in Málaga.", r"He said \"no\" in M\u00e1laga."]
)
def test_a_text_is_found_as_it_is_and_in_json(stored: str) -> None:
    search = TextSearch({'He said "no" in Málaga.'})
    search.add(LOGS, "edge.log", f"a line: {stored}\n".encode())
    assert search.found == ["log files: edge.log"]


def test_each_file_is_searched_and_exports_are_unpacked_but_vendors_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "1.blk").write_bytes(b"\0text\0")
    (tmp_path / "edge.log").write_bytes(b"nothing")
    (tmp_path / "export.jsonl.gz").write_bytes(gzip.compress(b"text"))
    (tmp_path / "simulators.log").write_bytes(b"text")
    search = TextSearch({"text"})
    search_files(search, tmp_path)
    assert search.searched == {RAW_FILES: 1, LOGS: 1, EXPORTS: 1}
    assert search.found == ["exports: export.jsonl.gz", "raw data files: nats/1.blk"]


def test_the_number_the_variables_the_scripts_and_the_sentences_are_personal() -> None:
    call = {
        "phone_number": "+12125550123",
        "script_template": "Hello {{name}}.",
        "variables": {"name": "Ada"},
        "voicemail": {"message": "Call us."},
    }
    events: list[dict[str, Any]] = [
        {"data": {"call": call}},
        {"data": {"call": {**call, "voicemail": None}}},
        {"data": {"text": "Who is calling?", "language": "en"}},
        {"data": {"text": "The clinic. Goodbye.", "last_sentence": "Goodbye."}},
        {"data": {"summary": "They asked.", "text": None}},
    ]
    assert personal_texts(events) == {
        "+12125550123",
        "12125550123",
        "Hello {{name}}.",
        "Ada",
        "Call us.",
        "Who is calling?",
        "The clinic. Goodbye.",
        "Goodbye.",
        "They asked.",
    }
