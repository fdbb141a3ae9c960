"""API keys: parsing, matching and creating them."""

import hashlib
import subprocess
import sys

import pytest

from edge.application.keys import Scope, create_key, digest_of, find_key, parse_key, parse_keys

SECRET = "a-key".ljust(32, "-")
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


def test_an_entry_is_a_name_scopes_and_the_digest_of_the_key() -> None:
    key = parse_key(f"desk:read+call:{DIGEST}")

    assert key.name == "desk"
    assert key.scopes == {Scope.READ, Scope.CALL}
    assert find_key([key], SECRET) is key
    assert find_key([key], "another-key".ljust(32, "-")) is None


def test_a_digest_is_not_accepted_as_a_key() -> None:
    assert find_key([parse_key(f"desk:read:{DIGEST}")], DIGEST) is None
    assert find_key([parse_key(f"desk:read:{DIGEST}")], f"desk:read:{DIGEST}") is None


@pytest.mark.parametrize(("length", "is_found"), [(1, False), (31, False), (32, True), (43, True)])
def test_a_key_of_less_than_32_characters_matches_no_digest(length: int, is_found: bool) -> None:
    secret = "k" * length

    assert (find_key([parse_key(f"desk:read:{digest_of(secret)}")], secret) is not None) is is_found


@pytest.mark.parametrize("entry", ["a-key", "a-plain-key-of-more-than-32-characters"])
def test_a_plain_key_is_refused_where_none_may_be_plain(entry: str) -> None:
    with pytest.raises(ValueError, match=r"entry 2: .*only in the embedded run.*python -m edge\.make_key") as refused:
        parse_keys(f"desk:read:{DIGEST},{entry}", may_be_plain=False)

    assert entry not in str(refused.value)


def test_an_entry_without_a_colon_is_a_key_with_every_scope() -> None:
    key = parse_key("a-key")

    assert key.scopes == set(Scope)
    assert key.name == f"plain-{key.digest[:8]}"
    assert find_key([key], "a-key") is key


def test_only_the_digest_of_a_plain_key_is_stored() -> None:
    assert "a-key" not in repr(parse_key("a-key"))


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
        (f"desk:read:{DIGEST}:", "third colon"),
        (f"desk:read:{DIGEST}:spring+", "third colon"),
        (f"desk:read:{DIGEST}:sp.ring", "third colon"),
        (f"desk:read:{DIGEST}:spring:autumn", "third colon"),
        (f"desk:read+admin:{DIGEST}:spring", "the scope admin"),
        (f"desk:read:{DIGEST.upper()}", "64 lower-case"),
        ("desk:read:the-key-itself", "64 lower-case"),
    ],
)
def test_the_error_names_the_number_of_a_wrong_entry_and_repeats_no_part_of_it(entry: str, named: str) -> None:
    with pytest.raises(ValueError, match="entry 2") as refused:
        parse_keys(f"a-good-one, {entry}", may_be_plain=True)

    assert named in str(refused.value)
    assert "the-key-itself" not in str(refused.value)


def test_two_entries_with_the_same_key_are_refused() -> None:
    with pytest.raises(ValueError, match="entry 2: the same key"):
        parse_keys(f"{SECRET},desk:read:{DIGEST}", may_be_plain=True)


def test_an_old_and_a_new_key_of_one_name_are_both_valid() -> None:
    new = "new".ljust(32, "-")
    keys = parse_keys(f"desk:read:{DIGEST},desk:read:{digest_of(new)}", may_be_plain=False)

    assert [key.name for key in (find_key(keys, SECRET), find_key(keys, new)) if key] == ["desk", "desk"]


def test_a_created_key_matches_its_entry() -> None:
    secret, key = create_key("desk", "call+read")

    (stored,) = parse_keys(key.entry(), may_be_plain=False)
    assert stored == key
    assert find_key([stored], secret) == key
    assert secret not in key.entry()
    assert create_key("desk", "read")[0] != create_key("desk", "read")[0]


def test_a_key_may_be_limited_to_campaigns() -> None:
    entry = f"desk:read:{DIGEST}:autumn+spring"
    key = parse_key(entry)

    assert [key.may_reach(campaign) for campaign in ("spring", "autumn", "winter", "")] == [True, True, False, False]
    assert key.entry() == entry
    assert parse_key(f"desk:read:{DIGEST}").may_reach("winter")


def _make_key(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.make_key", *arguments], capture_output=True, text=True, timeout=60
    )


def test_the_command_prints_a_key_and_its_entry() -> None:
    result = _make_key("desk", "read+admin")

    assert result.returncode == 0, result.stderr
    secret, entry = (line.split()[-1] for line in result.stdout.splitlines())
    key = find_key(parse_keys(entry, may_be_plain=False), secret)
    assert key is not None
    assert key.name == "desk"
    assert key.scopes == {Scope.READ, Scope.ADMIN}


def test_the_command_limits_a_key_to_campaigns() -> None:
    result = _make_key("desk", "read", "--campaign", "spring", "--campaign", "autumn")

    assert result.returncode == 0, result.stderr
    secret, entry = (line.split()[-1] for line in result.stdout.splitlines())
    key = find_key(parse_keys(entry, may_be_plain=False), secret)
    assert key is not None
    assert key.campaigns == frozenset({"spring", "autumn"})
    assert _make_key("desk", "read", "--campaign", "a:b").returncode == 2


@pytest.mark.parametrize(
    ("name", "scopes", "message"), [("desk", "write", "scopes are"), ("de sk", "read", "a name is")]
)
def test_the_command_refuses_a_wrong_name_or_scope(name: str, scopes: str, message: str) -> None:
    result = _make_key(name, scopes)

    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""
