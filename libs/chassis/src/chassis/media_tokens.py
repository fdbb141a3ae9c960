"""Media URLs carry a token: what is said in a call is personal data, and its ids are no secret."""

import hashlib
import hmac


def sign(key: str, path: str) -> str:
    """The token of a path, e.g. ``/media/<call id>/1/0``: HMAC-SHA256 (RFC 2104) under a key both sides have."""
    return hmac.new(key.encode(), path.encode(), hashlib.sha256).hexdigest()


def verify(key: str, path: str, token: str) -> bool:
    """Whether the token is this path's; compared in constant time."""
    return hmac.compare_digest(sign(key, path).encode(), token.encode())
