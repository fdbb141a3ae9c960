"""HKDF with HMAC-SHA256 (RFC 5869): derives an independent key from a secret for each purpose."""

import hashlib
import hmac

_HASH_BYTES = hashlib.sha256().digest_size
_MAX_BLOCKS = 255


def derive_key(secret: bytes, *, info: bytes, salt: bytes = b"", length: int = _HASH_BYTES) -> bytes:
    """Returns a key of `length` bytes for the purpose `info`.

    The key reveals neither the secret nor the key of another purpose. Raises ValueError if `length` is too large.
    """
    if length > _MAX_BLOCKS * _HASH_BYTES:
        raise ValueError(f"HKDF-SHA256 derives at most {_MAX_BLOCKS * _HASH_BYTES} bytes")
    return _expand(_digest(salt or bytes(_HASH_BYTES), secret), info, length)


def _expand(pseudorandom_key: bytes, info: bytes, length: int) -> bytes:
    """The second step (section 2.3): each block is the digest of the one before, the purpose and a counter."""
    derived, block = b"", b""
    for counter in range(1, -(-length // _HASH_BYTES) + 1):
        block = _digest(pseudorandom_key, block + info + bytes([counter]))
        derived += block
    return derived[:length]


def _digest(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
