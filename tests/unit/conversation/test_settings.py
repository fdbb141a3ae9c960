"""A missing or invalid setting stops the service with a message that names it."""

import pytest

from chassis.settings import read
from conversation.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", ""),
        ("OPENAI_BASE_URL", "nowhere"),
        ("TURN_DEADLINE_SECONDS", "30"),
        ("TOOL_SIGNING_KEY", "short"),
        ("TOOLS_PERMIT_LOOPBACK", "true"),
    ],
)
def test_an_invalid_setting_stops_the_service_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fictional")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        read(Settings)
    assert name in capsys.readouterr().err


def test_tools_on_this_machine_are_permitted_in_embedded_runs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fictional")
    monkeypatch.setenv("EMBEDDED_RUN", "true")
    monkeypatch.setenv("TOOLS_PERMIT_LOOPBACK", "true")
    assert read(Settings).tools_permit_loopback


def test_only_the_api_key_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_MODEL", "OPENAI_BASE_URL", "TURN_DEADLINE_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fictional")
    settings = read(Settings)
    assert (settings.openai_model, str(settings.openai_base_url)) == ("gpt-4.1-mini", "https://api.openai.com/v1")
    assert settings.turn_deadline_seconds == 8
    assert "sk-fictional" not in repr(settings)
