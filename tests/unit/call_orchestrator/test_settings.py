"""Settings of the orchestrator: the countries that may be called."""

import pytest
from pydantic import ValidationError

from call_orchestrator.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALLOWED_COUNTRIES", "TWILIO_PHONE_NUMBER"):
        monkeypatch.delenv(name, raising=False)


def test_the_country_of_the_caller_number_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_PHONE_NUMBER", "+34912345678")
    monkeypatch.setenv("ALLOWED_COUNTRIES", "")

    assert Settings().callable_countries == {"ES"}


def test_the_list_replaces_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_PHONE_NUMBER", "+34912345678")
    monkeypatch.setenv("ALLOWED_COUNTRIES", " us,CA ,")

    assert Settings().callable_countries == {"US", "CA"}


@pytest.mark.parametrize("value", ["*", "US,XX", "USA", "001", "34"])
def test_what_is_no_country_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALLOWED_COUNTRIES", value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert [detail["loc"] for detail in refused.value.errors()] == [("allowed_countries",)]
    assert "ISO 3166-1" in str(refused.value)


def test_without_a_country_the_service_does_not_start() -> None:
    with pytest.raises(ValidationError, match="set ALLOWED_COUNTRIES, or TWILIO_PHONE_NUMBER"):
        Settings()
