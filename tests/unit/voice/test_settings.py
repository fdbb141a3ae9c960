"""A missing or invalid setting stops the service with a message that names it."""

import pytest

from chassis.settings import read
from voice.settings import Settings

GOOD = {
    "APP_BASE_URL": "https://calls.example.com",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "fictional-token",
    "TWILIO_PHONE_NUMBER": "+12125550100",
    "ELEVENLABS_API_KEY": "fictional-key",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("TWILIO_BASE_URL", "ELEVENLABS_BASE_URL", "ELEVENLABS_MODEL_ID", "ELEVENLABS_DEFAULT_VOICE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_setting_is_named(
    name: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv(name)
    with pytest.raises(SystemExit):
        read(Settings)
    assert capsys.readouterr().err.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("TWILIO_ACCOUNT_SID", "SK" + "0" * 32),
        ("TWILIO_PHONE_NUMBER", "555-0100"),
        ("APP_BASE_URL", "calls.example.com"),
        ("ELEVENLABS_MAX_CONCURRENCY", "0"),
        ("MEDIA_TURN_TIMEOUT_SECONDS", "-1"),
        ("LIVE_BASE_URL", "https://calls.example.com"),
        ("LIVE_PORT", "8001"),
        ("LIVE_MAX_CALLS", "0"),
        ("LIVE_MAX_LAG_SECONDS", "0"),
    ],
)
def test_a_wrong_setting_is_named(
    name: str, wrong: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv(name, wrong)
    with pytest.raises(SystemExit):
        read(Settings)
    assert capsys.readouterr().err.startswith(f"{name}: ")


@pytest.mark.usefixtures("environment")
def test_the_real_vendors_are_the_default() -> None:
    settings = read(Settings)
    assert str(settings.twilio_base_url) == "https://api.twilio.com/"
    assert str(settings.elevenlabs_base_url) == "https://api.elevenlabs.io/"
    assert settings.elevenlabs_model_id == "eleven_flash_v2_5"


@pytest.mark.usefixtures("environment")
def test_secrets_are_not_shown() -> None:
    shown = repr(read(Settings))
    assert GOOD["TWILIO_AUTH_TOKEN"] not in shown
    assert GOOD["ELEVENLABS_API_KEY"] not in shown
