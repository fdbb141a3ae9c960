"""A rebuild is not continued by other code: its identity has the source of every module that the fold uses."""

import linecache
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from campaign_stats import projection
from centralita.replay.projection_database import rebuild_identity

AT = "2026-11-29T12:00:00Z"


def identity_with(monkeypatch: pytest.MonkeyPatch, file: Path, source: str) -> str:
    """Returns the identity if the fold uses a module with this source."""
    file.write_text(source)
    linecache.checkcache(str(file))
    spec = spec_from_file_location("campaign_stats.a_rule", file)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(projection, "a_rule", module.a_rule, raising=False)
    return rebuild_identity(AT)


def test_another_module_of_the_fold_and_another_log_are_another_identity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without = rebuild_identity(AT)
    assert rebuild_identity(AT) == without != rebuild_identity("2026-11-30T12:00:00Z")

    first = identity_with(monkeypatch, tmp_path / "first.py", "def a_rule() -> int:\n    return 1\n")
    second = identity_with(monkeypatch, tmp_path / "second.py", "def a_rule() -> int:\n    return 2\n")
    assert len({without, first, second}) == 3
