"""API keys as they are stored: a name, scopes, and the SHA-256 digest of the key; never the key itself.

A key is a long random string, so one round of SHA-256 is enough: no dictionary contains it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key permits. No scope includes another; a key gets every scope that it needs."""

    READ = "read"
    """Read calls, their events, campaigns and statistics."""
    CALL = "call"
    """Create, change, cancel and retry calls, send text in a call, pause and resume campaigns."""
    ADMIN = "admin"
    """Read the audit log."""


@dataclass(frozen=True, slots=True)
class Key:
    """One stored key. Several keys may share a name, for example the old and the new key of one user."""

    name: str
    scopes: frozenset[Scope]
    digest: str

    def entry(self) -> str:
        """Returns the key's entry for ``API_KEYS``: ``name:scope+scope:digest``."""
        return f"{self.name}:{'+'.join(scope for scope in Scope if scope in self.scopes)}:{self.digest}"


ANONYMOUS = Key("anonymous", frozenset(Scope), "")
"""The key of every request when no keys are configured, which only the embedded run permits."""


def create_key(name: str, scopes: str) -> tuple[str, Key]:
    """Returns a new secret and its stored form; `scopes` are joined by ``+``. Raises ValueError."""
    secret = secrets.token_urlsafe(KEY_BYTES)
    return secret, parse_key(f"{name}:{scopes}:{digest_of(secret)}")


def digest_of(secret: str) -> str:
    """Returns the SHA-256 digest in lower-case hexadecimal, as `sha256sum` prints it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def parse_key(entry: str) -> Key:
    """Parses an entry of ``API_KEYS``. An entry without a colon is the key itself, with every scope.

    Raises ValueError; its message repeats no part of the entry, which may be a key.
    """
    if ":" not in entry:
        digest = digest_of(entry)
        return Key(f"plain-{digest[:8]}", frozenset(Scope), digest)
    name, _, rest = entry.partition(":")
    scopes, _, digest = rest.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 letters, digits, dots, dashes and underscores")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("after the second colon comes the key's SHA-256: 64 lower-case hexadecimal digits")
    if not (names := set(scopes.split("+"))) <= set(Scope):
        raise ValueError(f"scopes are {', '.join(Scope)}, joined by +")
    return Key(name, frozenset(Scope(scope) for scope in names), digest)


def parse_keys(entries: str) -> tuple[Key, ...]:
    """Parses a comma-separated list of entries. Raises ValueError with the number of the wrong entry."""
    keys: list[Key] = []
    for number, entry in enumerate((part.strip() for part in entries.split(",") if part.strip()), start=1):
        try:
            keys.append(parse_key(entry))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}; `python -m edge.make_key` writes one") from None
        if keys[-1].digest in {key.digest for key in keys[:-1]}:
            raise ValueError(f"entry {number}: the same key as an earlier entry")
    return tuple(keys)


def find_key(keys: Sequence[Key], secret: str) -> Key | None:
    """Returns the stored key of `secret`. Compares all digests in constant time, so timing reveals no key."""
    digest = digest_of(secret)
    matches = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    return matches[0] if matches else None
