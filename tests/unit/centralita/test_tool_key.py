"""`centralita campaign tool-key`: the key of a campaign's tools, from the environment or a file."""

from base64 import b64encode
from pathlib import Path

import pytest
from typer.testing import CliRunner

from centralita.__main__ import app
from centralita.commands.exit_codes import ExitCode
from sealing import SigningKey

SECRET = bytes(range(32))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOOL_SIGNING_KEY", raising=False)


def test_the_key_is_that_of_the_campaign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = b64encode(SECRET).decode()
    file = tmp_path / "production.env"
    file.write_text(f"TOOL_SIGNING_KEY={text}\n")
    from_file = CliRunner().invoke(app, ["campaign", "tool-key", "spring", "--env-file", str(file)])
    monkeypatch.setenv("TOOL_SIGNING_KEY", text)
    from_environment = CliRunner().invoke(app, ["campaign", "tool-key", "spring"])
    for result in (from_file, from_environment):
        assert (result.exit_code, result.stdout) == (0, SigningKey.of(SECRET, "spring").text + "\n")
        assert text not in result.output
    assert SigningKey.of(SECRET, "autumn").text not in from_file.stdout


def test_without_the_secret_the_error_names_the_setting() -> None:
    result = CliRunner().invoke(app, ["campaign", "tool-key", "spring"])
    assert result.exit_code == ExitCode.WRONG_USE
    assert "TOOL_SIGNING_KEY" in result.stderr
