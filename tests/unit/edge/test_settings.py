import pytest
from pydantic import ValidationError

from edge.settings import Settings

NAMES = ("APP_BASE_URL", "MEDIA_BASE_URL", "TWILIO_AUTH_TOKEN", "API_KEYS", "EMBEDDED_RUN")


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APP_BASE_URL", "https://calls.example.com/")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "a-token")


def test_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", " one, two ,,")

    assert [key.get_secret_value() for key in Settings().api_keys] == ["one", "two"]


@pytest.mark.parametrize("keys", ["", " , ", None])
def test_no_key_is_refused_by_name_outside_the_embedded_run(monkeypatch: pytest.MonkeyPatch, keys: str | None) -> None:
    if keys is not None:
        monkeypatch.setenv("API_KEYS", keys)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert [detail["loc"] for detail in refused.value.errors()] == [("api_keys",)]


def test_the_embedded_run_may_have_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_RUN", "true")

    assert Settings().api_keys == ()


def test_media_is_where_the_edge_is_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "one")
    assert Settings().media_url == Settings().public_url == "https://calls.example.com"

    monkeypatch.setenv("MEDIA_BASE_URL", "http://127.0.0.1:9001/voice/")
    assert Settings().media_url == "http://127.0.0.1:9001/voice"


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "a-key")

    shown = repr(Settings())

    assert "a-token" not in shown
    assert "a-key" not in shown
