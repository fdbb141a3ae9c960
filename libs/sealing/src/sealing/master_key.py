"""The master key, under which the keys of persons are stored.

It can be replaced: while some keys are still wrapped under the former one, a process knows both.
"""

import hashlib
import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealing.person_key import ID_BYTES, NONCE_BYTES, PersonKey


class WrongMasterKey(Exception):
    """A stored key was wrapped under another master key, or it was changed."""


class MasterKey:
    """Wraps and unwraps the keys of persons. `former`: the one that it replaces, whose wrapped keys it unwraps, too.

    A wrapped key names its master key and is bound to its person, so it cannot be stored as the key of another one.
    """

    def __init__(self, key: bytes, former: Self | None = None) -> None:
        self.former = former
        self._cipher = AESGCM(key)
        self._id = hashlib.sha256(b"centralita master key" + key).digest()[:ID_BYTES]

    def wrap(self, key: PersonKey, person: str) -> bytes:
        """Returns the key of a person in the form in which it is stored."""
        nonce = os.urandom(NONCE_BYTES)
        return self._id + nonce + self._cipher.encrypt(nonce, key.key, person.encode())

    def has_wrapped(self, wrapped: bytes) -> bool:
        """Returns whether a key was wrapped under this master key, and not under the former one."""
        return wrapped[:ID_BYTES] == self._id

    def unwrap(self, wrapped: bytes, person: str) -> PersonKey:
        """Returns the key of a person. Raises WrongMasterKey."""
        if self.former and self.former.has_wrapped(wrapped):
            return self.former.unwrap(wrapped, person)
        nonce, sealed = wrapped[ID_BYTES : ID_BYTES + NONCE_BYTES], wrapped[ID_BYTES + NONCE_BYTES :]
        try:
            if self.has_wrapped(wrapped):
                return PersonKey(self._cipher.decrypt(nonce, sealed, person.encode()))
        except (InvalidTag, ValueError) as error:
            raise WrongMasterKey("a stored key was changed") from error
        raise WrongMasterKey("the stored keys were wrapped under another MASTER_KEY")
