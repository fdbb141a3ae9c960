"""``python -m contracts``: documents are stored, breaking changes refused, and outdated documents reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts import __main__ as tooling
from contracts.documents import schema_of
from contracts.event import Event
from contracts.events import EVENTS
from contracts.events.dials import DialPlaced

SCHEMA = "schemas/dial.placed.v1.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which everything is stored."""
    (tmp_path / "README.md").write_text("before\n<!-- events -->\nold\n<!-- /events -->\nafter\n", encoding="utf-8")
    assert tooling.main(["store", "--folder", str(tmp_path)]) == 0
    return tmp_path


def rewrite(file: Path, **properties: Any) -> str:
    """Adds these properties to the stored schema, and returns its new text."""
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema["properties"].update(properties)
    file.write_text(json.dumps(schema), encoding="utf-8")
    return file.read_text(encoding="utf-8")


def contents(folder: Path) -> dict[Path, str]:
    return {file: file.read_text(encoding="utf-8") for file in folder.rglob("*") if file.is_file()}


def check(folder: Path) -> int:
    return tooling.main(["check", "--folder", str(folder)])


def test_documents_that_were_just_stored_are_current(folder: Path) -> None:
    assert check(folder) == 0
    before = contents(folder)
    assert tooling.main(["store", "--folder", str(folder)]) == 0
    assert contents(folder) == before


def test_only_the_table_of_the_readme_is_renewed(folder: Path) -> None:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert len([line for line in lines if line.startswith("| `")]) == len(EVENTS)
    assert "old" not in lines


def test_a_breaking_change_is_named_and_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(folder / SCHEMA, carrier={"type": "string"})
    (folder / "asyncapi.json").write_text("{}", encoding="utf-8")
    before = contents(folder)
    assert tooling.main(["store", "--folder", str(folder)]) == 1
    assert contents(folder) == before
    assert f"{SCHEMA}: body.carrier: property removed" in capsys.readouterr().err


def test_check_names_a_breaking_change_and_every_document_that_has_drifted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(folder / SCHEMA, carrier={"type": "string"})
    (folder / "schemas/dial.claimed.v1.json").unlink()
    (folder / "asyncapi.json").write_text("{}", encoding="utf-8")
    assert check(folder) == 1
    errors = capsys.readouterr().err
    assert f"{SCHEMA}: body.carrier: property removed" in errors
    assert "schemas/dial.claimed.v1.json: not stored" in errors
    assert "asyncapi.json: differs from the code" in errors


def test_a_breaking_change_with_a_raised_version_is_stored_beside_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = rewrite(folder / SCHEMA, carrier={"type": "string"})
    monkeypatch.setattr(DialPlaced, "version", 2)
    assert tooling.main(["store", "--folder", str(folder)]) == 0
    assert (folder / SCHEMA).read_text(encoding="utf-8") == old
    stored = json.loads((folder / "schemas/dial.placed.v2.json").read_text(encoding="utf-8"))
    assert stored == schema_of(DialPlaced)
    assert stored["$id"].endswith("dial.placed.v2")
    assert check(folder) == 0


def test_a_harmless_change_is_stored_without_a_new_version(folder: Path) -> None:
    schema = json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
    schema["description"] = "another description"
    (folder / SCHEMA).write_text(json.dumps(schema), encoding="utf-8")
    assert check(folder) == 1
    assert tooling.main(["store", "--folder", str(folder)]) == 0
    assert check(folder) == 0


def test_a_removed_event_is_a_breaking_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left: dict[str, type[Event]] = {fact: event for fact, event in EVENTS.items() if event is not DialPlaced}
    monkeypatch.setattr(tooling, "EVENTS", left)
    assert tooling.main(["store", "--folder", str(folder)]) == 1
    assert f"{SCHEMA}: the event was removed" in capsys.readouterr().err
