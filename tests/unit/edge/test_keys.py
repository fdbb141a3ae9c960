import hashlib
import subprocess
import sys

import pytest

from edge.application.keys import Scope, digest_of, found, keys_in, made, parsed

DIGEST = hashlib.sha256(b"a-key").hexdigest()


def test_an_entry_is_a_name_scopes_and_the_digest_of_the_key() -> None:
    key = parsed(f"desk:read+call:{DIGEST}")

    assert key.name == "desk"
    assert key.scopes == {Scope.READ, Scope.CALL}
    assert found([key], "a-key") is key
    assert found([key], "another-key") is None


def test_the_digest_itself_opens_nothing() -> None:
    assert found([parsed(f"desk:read:{DIGEST}")], DIGEST) is None
    assert found([parsed(f"desk:read:{DIGEST}")], f"desk:read:{DIGEST}") is None


def test_an_entry_without_a_colon_is_a_key_with_every_scope() -> None:
    key = parsed("a-key")

    assert key.scopes == set(Scope)
    assert key.name == f"plain-{DIGEST[:8]}"
    assert found([key], "a-key") is key


def test_of_a_plain_key_only_the_digest_is_kept() -> None:
    assert "a-key" not in repr(parsed("a-key"))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (f":read:{DIGEST}", "a name"),
        (f"with space:read:{DIGEST}", "a name"),
        (f"desk:raed:{DIGEST}", "scopes"),
        (f"desk::{DIGEST}", "scopes"),
        (f"desk:read,call:{DIGEST}", "64 lower-case"),
        ("desk:read:", "64 lower-case"),
        ("desk:read", "64 lower-case"),
        (f"desk:read:{DIGEST[:-1]}", "64 lower-case"),
        (f"desk:read:{DIGEST.upper()}", "64 lower-case"),
        ("desk:read:the-key-itself", "64 lower-case"),
    ],
)
def test_an_entry_that_is_wrong_is_refused_by_its_place_and_not_repeated(entry: str, named: str) -> None:
    with pytest.raises(ValueError, match="entry 2") as refused:
        keys_in(f"a-good-one, {entry}")

    assert named in str(refused.value)
    assert "the-key-itself" not in str(refused.value)


def test_a_key_stands_in_one_entry_only() -> None:
    with pytest.raises(ValueError, match="entry 2: the same key"):
        keys_in(f"a-key,desk:read:{DIGEST}")


def test_an_old_and_a_new_key_of_one_name_are_both_good() -> None:
    keys = keys_in(f"desk:read:{DIGEST},desk:read:{digest_of('new')}")

    assert [key.name for key in (found(keys, "a-key"), found(keys, "new")) if key] == ["desk", "desk"]


def test_a_key_that_was_made_opens_by_its_entry() -> None:
    secret, key = made("desk", "call+read")

    (stored,) = keys_in(key.entry())
    assert stored == key
    assert found([stored], secret) == key
    assert secret not in key.entry()
    assert made("desk", "read")[0] != made("desk", "read")[0]


def _make_key(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.make_key", *arguments], capture_output=True, text=True, timeout=60
    )


def test_the_command_prints_a_key_and_the_entry_that_it_opens() -> None:
    ended = _make_key("desk", "read+admin")

    assert ended.returncode == 0, ended.stderr
    secret, entry = (line.split()[-1] for line in ended.stdout.splitlines())
    key = found(keys_in(entry), secret)
    assert key is not None
    assert key.name == "desk"
    assert key.scopes == {Scope.READ, Scope.ADMIN}


@pytest.mark.parametrize(("name", "scopes", "said"), [("desk", "write", "scopes are"), ("de sk", "read", "a name is")])
def test_the_command_refuses_a_wrong_name_or_scope(name: str, scopes: str, said: str) -> None:
    ended = _make_key(name, scopes)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""
