"""The master key, under which the keys of persons are stored."""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealing.person_key import ID_BYTES, NONCE_BYTES, PersonKey


class WrongMasterKey(Exception):
    """A stored key was wrapped under another master key, or it was changed."""


class MasterKey:
    """Wraps and unwraps the keys of persons.

    A wrapped key names its master key and is bound to its person, so it cannot be stored as the key of another one.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._id = hashlib.sha256(b"centralita master key" + key).digest()[:ID_BYTES]

    def wrap(self, key: PersonKey, person: str) -> bytes:
        """Returns the key of a person in the form in which it is stored."""
        nonce = os.urandom(NONCE_BYTES)
        return self._id + nonce + self._cipher.encrypt(nonce, key.key, person.encode())

    def unwrap(self, wrapped: bytes, person: str) -> PersonKey:
        """Returns the key of a person. Raises WrongMasterKey."""
        nonce, sealed = wrapped[ID_BYTES : ID_BYTES + NONCE_BYTES], wrapped[ID_BYTES + NONCE_BYTES :]
        try:
            if wrapped[:ID_BYTES] == self._id:
                return PersonKey(self._cipher.decrypt(nonce, sealed, person.encode()))
        except (InvalidTag, ValueError) as error:
            raise WrongMasterKey("a stored key was changed") from error
        raise WrongMasterKey("the stored keys were wrapped under another MASTER_KEY")
