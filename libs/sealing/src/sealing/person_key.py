"""The key of one person."""

import hashlib
import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
ID_BYTES = 4


class WrongKey(ValueError):
    """The bytes were sealed under another key, or they were changed."""


class PersonKey:
    """Seals and opens the personal data of one person.

    Sealed bytes begin with the first bytes of the key's SHA-256, so that those of an earlier key are recognised.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._id = hashlib.sha256(key).digest()[:ID_BYTES]
        self.key = key

    @classmethod
    def generate(cls) -> Self:
        """Returns a new random key."""
        return cls(AESGCM.generate_key(8 * KEY_BYTES))

    def seal(self, text: bytes, context: bytes) -> bytes:
        """Returns the sealed text. It can be opened with the same `context` only, which is not stored."""
        nonce = os.urandom(NONCE_BYTES)
        return self._id + nonce + self._cipher.encrypt(nonce, text, context)

    def has_sealed(self, sealed: bytes) -> bool:
        """Returns whether the bytes were sealed under this key, as far as their beginning shows."""
        return sealed[:ID_BYTES] == self._id

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Returns the text. Raises WrongKey."""
        nonce, text = sealed[ID_BYTES : ID_BYTES + NONCE_BYTES], sealed[ID_BYTES + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, context)
        except (InvalidTag, ValueError) as error:
            raise WrongKey("sealed under another key, or changed") from error
