"""One version for every package, the changelog and the command line."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from centralita.__main__ import app

ROOT = Path(__file__).parents[2]
VERSION = "0.1.0"


@pytest.mark.parametrize("file", [file.relative_to(ROOT) for file in ROOT.glob("**/pyproject.toml")], ids=str)
def test_every_package_has_the_same_version(file: Path) -> None:
    if ".venv" not in file.parts:
        assert tomllib.loads((ROOT / file).read_text())["project"]["version"] == VERSION


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION


def test_the_command_line_prints_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{VERSION}\n"
