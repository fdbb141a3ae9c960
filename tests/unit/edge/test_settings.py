"""Settings of the edge."""

import pytest
from pydantic import ValidationError

from edge.application.keys import digest_of
from edge.settings import Settings

KEY = f"desk:read:{'0' * 64}"
NAMES = (
    "APP_BASE_URL",
    "MEDIA_BASE_URL",
    "VOICE_URL",
    "TWILIO_AUTH_TOKEN",
    "API_KEYS",
    "EMBEDDED_RUN",
    "REST_REQUESTS_PER_SECOND",
    "REST_BURST",
    "TRUSTED_PROXIES",
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APP_BASE_URL", "https://calls.example.com/")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "a-token")


def test_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_RUN", "true")
    monkeypatch.setenv("API_KEYS", " one, two ,,")

    assert [key.digest for key in Settings().api_keys] == [digest_of("one"), digest_of("two")]


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


def test_a_plain_key_is_refused_by_name_outside_the_embedded_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "a-plain-key-of-more-than-32-characters")

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert [detail["loc"] for detail in refused.value.errors()] == [("api_keys",)]
    assert "entry 1" in str(refused.value)
    assert "a-plain-key" not in str(refused.value)


def test_media_url_defaults_to_the_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    assert Settings().media_url == Settings().public_url == "https://calls.example.com"

    monkeypatch.setenv("MEDIA_BASE_URL", "http://127.0.0.1:9001/voice/")
    assert Settings().media_url == "http://127.0.0.1:9001/voice"


def test_voice_url_overrides_the_public_media_url_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    assert Settings().internal_media_url == "https://calls.example.com"

    monkeypatch.setenv("MEDIA_BASE_URL", "https://media.example.com/")
    assert Settings().internal_media_url == "https://media.example.com"

    monkeypatch.setenv("VOICE_URL", "http://voice:8000/")
    assert Settings().internal_media_url == "http://voice:8000"
    assert Settings().media_url == "https://media.example.com"


def test_secrets_are_not_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_RUN", "true")
    monkeypatch.setenv("API_KEYS", "a-key")

    text = repr(Settings())

    assert "a-token" not in text
    assert "a-key" not in text


def test_a_wrong_entry_is_refused_with_the_name_of_the_setting_and_without_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBEDDED_RUN", "true")
    monkeypatch.setenv("API_KEYS", "a-plain-key,desk:read:not-a-digest")

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert [detail["loc"] for detail in refused.value.errors()] == [("api_keys",)]
    assert "entry 2" in str(refused.value)
    assert "a-plain-key" not in str(refused.value)
    assert "not-a-digest" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), [("REST_REQUESTS_PER_SECOND", "0"), ("REST_BURST", "0"), ("TRUSTED_PROXIES", "caddy")]
)
def test_an_impossible_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert {detail["loc"][0] for detail in refused.value.errors()} == {name.lower()}
