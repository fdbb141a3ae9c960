"""The settings of the console, and the command that starts it."""

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from centralita.__main__ import app
from centralita.commands import console
from centralita_console.settings import Settings


def given(**values: str) -> Settings:
    return Settings.model_validate(values)


@pytest.mark.parametrize("url", ["http://console.example.com", "http://10.0.0.5:8080", "http://127.0.0.1.example.com"])
def test_plain_http_to_other_machines_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must begin with https://"):
        given(console_url=url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_plain_http_on_this_machine_is_permitted_and_its_cookie_is_not_secure(url: str) -> None:
    assert given(console_url=url).is_secure is False


def test_a_public_address_has_a_secure_cookie_and_its_host_name() -> None:
    settings = given(console_url="https://console.example.com/")

    assert settings.is_secure
    assert settings.host_names == ("127.0.0.1", "localhost", "console.example.com")


@pytest.mark.parametrize(
    "url", ["https://traces.example.com", "javascript:{trace_id}", "{trace_id}", "https://x y{trace_id}"]
)
def test_an_address_of_traces_needs_a_scheme_and_a_place_for_the_id(url: str) -> None:
    with pytest.raises(ValidationError, match="TRACE_URL must begin"):
        given(trace_url=url)
    assert given(trace_url="").trace_url == ""


@pytest.mark.parametrize("one", ["console_token", "console_api_key"])
def test_the_token_of_the_link_needs_its_key(one: str) -> None:
    with pytest.raises(ValidationError, match="or neither of them"):
        given(**{one: "x"})


def test_the_settings_show_no_secret() -> None:
    shown = repr(given(console_token="the-token", console_api_key="the-key"))

    assert "the-token" not in shown
    assert "the-key" not in shown


def test_the_command_says_how_to_install_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_installed", lambda: False)

    ended = CliRunner().invoke(app, ["console"])

    assert ended.exit_code == 2
    assert "pip install 'centralita[console]'" in ended.stderr
