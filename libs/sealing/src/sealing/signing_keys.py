"""The keys that sign requests to the tools of campaigns: one per campaign, derived from one secret (docs/tools.md)."""

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32
_PURPOSE = b"centralita tool requests of the campaign "
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """The key of one campaign. It reveals neither the secret nor the key of another campaign."""

    key: bytes

    @classmethod
    def of(cls, secret: bytes, campaign_id: str) -> "SigningKey":
        """Derives the key of a campaign by HKDF-SHA256 (RFC 5869)."""
        return cls(HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE + campaign_id.encode()).derive(secret))

    @property
    def text(self) -> str:
        """The key as libraries of Standard Webhooks read it: ``whsec_`` and base64."""
        return _PREFIX + base64.b64encode(self.key).decode()
