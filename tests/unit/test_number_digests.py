"""Digests of phone numbers, their secret, and the keys of an embedded run."""

import hashlib
import hmac
from base64 import b64encode
from pathlib import Path

import pytest
from pydantic import SecretStr

from centralita.embedded.secret_keys import KEYS_FILE, SECRET_KEYS, secret_keys
from centralita.embedded.servers import CannotStart
from chassis.settings import key_bytes
from contracts.number_digests import NumberDigests

NUMBER = "+12125550123"


def test_a_digest_is_the_first_half_of_an_hmac_and_depends_on_the_secret() -> None:
    expected = hmac.new(bytes(32), NUMBER.encode(), hashlib.sha256).hexdigest()[:32]
    assert NumberDigests(bytes(32)).of(NUMBER) == expected
    assert NumberDigests(bytes([1]) * 32).of(NUMBER) != expected


@pytest.mark.parametrize("text", ["", "short", b64encode(bytes(31)).decode(), b64encode(bytes(33)).decode(), "é" * 44])
def test_a_secret_of_another_form_is_refused_with_the_command_that_makes_one(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32"):
        key_bytes(SecretStr(text))


def test_a_run_keeps_its_keys_for_the_next_one_and_prefers_those_of_the_environment(tmp_path: Path) -> None:
    first = secret_keys(tmp_path, {})
    assert secret_keys(tmp_path, {}) == first
    assert len(set(first.values())) == len(SECRET_KEYS)
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o777 == 0o600
    assert secret_keys(tmp_path, {SECRET_KEYS[0]: "given"})[SECRET_KEYS[0]] == "given"


def test_keys_of_the_environment_are_not_written_to_the_folder(tmp_path: Path) -> None:
    secret_keys(tmp_path, dict.fromkeys(SECRET_KEYS, "given"))
    assert not (tmp_path / KEYS_FILE).exists()


def test_an_unreadable_file_of_keys_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / KEYS_FILE).write_text("{")
    with pytest.raises(CannotStart, match=KEYS_FILE):
        secret_keys(tmp_path, {})
