"""API keys as they are stored: a name, scopes, the SHA-256 digest of the key, and campaigns; never the key itself.

A key is a long random string, so one round of SHA-256 is enough: no dictionary contains it. A digest does not show how
long its key is, so `find_key` refuses short keys. Only the embedded run accepts plain keys, of any length.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

KEY_BYTES = 32
MIN_KEY_LENGTH = 32
"""In characters; `create_key` makes 43. A shorter key matches no digest of an entry."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CAMPAIGN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key permits. No scope includes another; a key gets every scope that it needs."""

    READ = "read"
    """Read calls, their events, campaigns and statistics."""
    CALL = "call"
    """Create, change, cancel and retry calls, send text in a call, and act on campaigns."""
    ADMIN = "admin"
    """Read the audit log, erase or export persons, and list, resend or drop dead letters."""


@dataclass(frozen=True, slots=True)
class Key:
    """One stored key. Several keys may share a name, for example the old and the new key of one user."""

    name: str
    scopes: frozenset[Scope]
    digest: str
    campaigns: frozenset[str] | None = None
    """The campaigns to which the key is limited; none: every campaign."""
    is_plain: bool = False
    """Whether the entry was the key itself, which only the embedded run accepts."""

    def entry(self) -> str:
        """Returns the key's entry for ``API_KEYS``: ``name:scope+scope:digest``, then any campaigns."""
        entry = f"{self.name}:{'+'.join(scope for scope in Scope if scope in self.scopes)}:{self.digest}"
        return entry if self.campaigns is None else f"{entry}:{'+'.join(sorted(self.campaigns))}"

    def may_reach(self, campaign_id: str) -> bool:
        """Whether the key may be used for a campaign and its calls."""
        return self.campaigns is None or campaign_id in self.campaigns


ANONYMOUS = Key("anonymous", frozenset(Scope), "")
"""The key of every request when no keys are configured, which only the embedded run permits."""


def create_key(name: str, scopes: str, campaigns: Sequence[str] = ()) -> tuple[str, Key]:
    """Returns a new secret and its stored form; `scopes` are joined by ``+``. Raises ValueError."""
    secret = secrets.token_urlsafe(KEY_BYTES)
    parts = (name, scopes, digest_of(secret), *(["+".join(campaigns)] if campaigns else []))
    return secret, parse_key(":".join(parts))


def digest_of(secret: str) -> str:
    """Returns the SHA-256 digest in lower-case hexadecimal, as `sha256sum` prints it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def parse_key(entry: str) -> Key:
    """Parses an entry of ``API_KEYS``. An entry without a colon is a plain key: the key itself, with every scope.

    Raises ValueError; its message repeats no part of the entry, which may be a key.
    """
    if ":" not in entry:
        digest = digest_of(entry)
        return Key(f"plain-{digest[:8]}", frozenset(Scope), digest, is_plain=True)
    name, scopes, digest, *limits = (*entry.split(":"), "", "")[: max(3, entry.count(":") + 1)]
    if not _NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 letters, digits, dots, dashes and underscores")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("after the second colon comes the key's SHA-256: 64 lower-case hexadecimal digits")
    if not (names := set(scopes.split("+"))) <= set(Scope):
        raise ValueError(f"scopes are {', '.join(Scope)}, joined by +")
    return Key(name, frozenset(Scope(scope) for scope in names), digest, _parse_campaigns(limits, names))


def _parse_campaigns(limits: Sequence[str], scopes: Collection[str]) -> frozenset[str] | None:
    if not limits:
        return None
    campaigns = limits[0].split("+")
    if len(limits) > 1 or not all(_CAMPAIGN.fullmatch(campaign) for campaign in campaigns):
        raise ValueError("after the third colon come ids of campaigns (letters, digits, _ and -), joined by +")
    if Scope.ADMIN in scopes:
        raise ValueError("a key with the scope admin cannot be limited to campaigns: it reads the whole audit log")
    return frozenset(campaigns)


def parse_keys(entries: str, *, may_be_plain: bool) -> tuple[Key, ...]:
    """Parses a comma-separated list of entries. Raises ValueError with the number of the wrong entry."""
    keys: list[Key] = []
    for number, entry in enumerate((part.strip() for part in entries.split(",") if part.strip()), start=1):
        try:
            key = parse_key(entry)
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}; `python -m edge.make_key` writes one") from None
        if key.is_plain and not may_be_plain:
            raise ValueError(
                f"entry {number}: a key without name, scopes and digest works only in the embedded run; "
                "create a key and its entry with `python -m edge.make_key`"
            )
        if key.digest in {earlier.digest for earlier in keys}:
            raise ValueError(f"entry {number}: the same key as an earlier entry")
        keys.append(key)
    return tuple(keys)


def find_key(keys: Sequence[Key], secret: str) -> Key | None:
    """Returns the stored key of `secret`; none if `secret` is short, unless it is a plain key.

    Compares all digests in constant time, so timing reveals no key.
    """
    digest, is_long = digest_of(secret), len(secret) >= MIN_KEY_LENGTH
    matches = [key for key in keys if hmac.compare_digest(key.digest, digest) and (is_long or key.is_plain)]
    return matches[0] if matches else None
