"""A digest stands for a telephone number wherever the number itself must not appear, such as in a subject."""

import hmac

DIGEST_BYTES = 16


class NumberDigests:
    """The digests of numbers under one secret.

    Without the secret, a digest does not reveal its number: there are so few numbers that a plain digest would. Entries
    of do-not-call lists depend on the secret, so it is never replaced.
    """

    def __init__(self, secret: bytes) -> None:
        self._keyed = hmac.new(secret, digestmod="sha256")

    def of(self, number: str) -> str:
        """Returns 32 hexadecimal digits that identify a number in E.164: HMAC-SHA256 (RFC 2104), its first half."""
        keyed = self._keyed.copy()
        keyed.update(number.encode())
        return keyed.digest()[:DIGEST_BYTES].hex()
