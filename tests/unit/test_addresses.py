"""NATS_URL: one or several addresses, and one user for all of them."""

import pytest

from centralita.embedded.credentials import Credentials, find_password, with_credentials, without_credentials
from chassis.addresses import connection
from chassis.settings import ServiceSettings
from contracts.permissions import OPERATOR

THREE = "nats://127.0.0.1:1,nats://127.0.0.1:2,nats://127.0.0.1:3"


@pytest.mark.parametrize(
    "url", ["nats://operator:secret@127.0.0.1:1,nats://127.0.0.1:2", "nats://operator:secret@127.0.0.1:1"]
)
def test_the_user_of_the_first_address_is_sent_to_every_node(url: str) -> None:
    to = connection(url)
    assert [server.split(":")[1] for server in to["servers"]] == ["//127.0.0.1"] * len(url.split(","))
    assert (to["user"], to["password"]) == ("operator", "secret")


def test_without_a_user_no_credentials_are_sent() -> None:
    assert connection(THREE) == {"servers": THREE.split(","), "user": None, "password": None}


def test_the_credentials_of_a_run_are_found_by_all_its_addresses() -> None:
    access = Credentials.generate()
    url = access.url(THREE, OPERATOR)
    assert without_credentials(url) == THREE
    assert url.count(access.passwords[OPERATOR]) == len(THREE.split(","))
    assert with_credentials(url, OPERATOR) == url
    assert find_password(url, OPERATOR) == access.passwords[OPERATOR]


@pytest.mark.parametrize("url", [THREE, "nats://a:b@127.0.0.1:1, nats://127.0.0.1:2"])
def test_the_setting_accepts_several_addresses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", url)
    assert ServiceSettings().nats_url == url.replace(" ", "")


def test_addresses_without_a_scheme_and_with_one_user_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://voice:secret@127.0.0.1:1,127.0.0.1:2")
    url = ServiceSettings().nats_url
    assert connection(url)["servers"] == ["nats://127.0.0.1:1", "nats://127.0.0.1:2"]
    assert connection(url)["user"] == "voice"


@pytest.mark.parametrize("url", ["nats://127.0.0.1:1,http://127.0.0.1:2", "", "nats://127.0.0.1:1,"])
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="nats_url"):
        ServiceSettings(nats_url=url)
