"""API keys as they are stored: a name, scopes, and the SHA-256 digest of the key; never the key.

A key is a long random string, so one round of SHA-256 is enough: there is nothing to guess, and nothing to look up.
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
    """What a key is good for. None holds another: a key is given all that it needs."""

    READ = "read"
    """To look at calls, their logs, campaigns and the statistics."""
    CALL = "call"
    """To ask for calls, change, cancel and retry them, speak in them, and pause and resume campaigns."""
    ADMIN = "admin"
    """To read who did what."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without the key itself. More than one may have a name: the old and the new one of somebody."""

    name: str
    scopes: frozenset[Scope]
    digest: str

    def entry(self) -> str:
        """How ``API_KEYS`` holds it: ``name:scope+scope:digest``."""
        return f"{self.name}:{'+'.join(scope for scope in Scope if scope in self.scopes)}:{self.digest}"


NOBODY = Key("nobody", frozenset(Scope), "")
"""Whoever asks where no key is: only in the embedded run."""


def made(name: str, scopes: str) -> tuple[str, Key]:
    """A new key and what is stored of it; `scopes` as in an entry. Raises ValueError."""
    secret = secrets.token_urlsafe(KEY_BYTES)
    return secret, parsed(f"{name}:{scopes}:{digest_of(secret)}")


def digest_of(secret: str) -> str:
    """SHA-256 in lower-case hexadecimal, as `sha256sum` writes it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def parsed(entry: str) -> Key:
    """The key of an entry. Without a colon the entry is the key itself, with every scope: for one's own machine.

    Raises ValueError, which repeats nothing of the entry: it may be a key.
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
    if not (given := set(scopes.split("+"))) <= set(Scope):
        raise ValueError(f"scopes are {', '.join(Scope)}, joined by +")
    return Key(name, frozenset(Scope(scope) for scope in given), digest)


def keys_in(entries: str) -> tuple[Key, ...]:
    """The keys of a comma-separated list. Raises ValueError, which names the entry by its place and repeats none."""
    found: list[Key] = []
    for number, entry in enumerate((part.strip() for part in entries.split(",") if part.strip()), start=1):
        try:
            found.append(parsed(entry))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}; `python -m edge.make_key` writes one") from None
        if found[-1].digest in {key.digest for key in found[:-1]}:
            raise ValueError(f"entry {number}: the same key as an entry before it")
    return tuple(found)


def found(keys: Sequence[Key], secret: str) -> Key | None:
    """The key that somebody has shown. Every digest is compared, each in constant time: time tells nothing of any."""
    given = digest_of(secret)
    matches = [key for key in keys if hmac.compare_digest(key.digest, given)]
    return matches[0] if matches else None
