"""What a failed request to dial means for the phone at the other end: it rang not, or nobody knows (law 4).

Twilio documents which errors exist, not which of them are final: the split into sets is this project's reading of
https://www.twilio.com/docs/api/errors.
"""

from enum import StrEnum


class FailureClass(StrEnum):
    """Why a dial was not taken, by what can be done about it."""

    NUMBER = "number"
    """Nobody can ever be reached there."""
    BLOCKED = "blocked"
    """The number, or its region, is blocked for us."""
    ACCOUNT = "account"
    """Nothing will be dialled until a person changes the account or its settings."""
    TRANSIENT = "transient"
    """Refused for now."""
    RATE_LIMITED = "rate_limited"
    """Too many requests: documented as never processed, and so the one failure that is safe to repeat."""
    UNREACHABLE = "unreachable"
    """No connection came about, or none was tried since none would: the request never left."""
    UNKNOWN = "unknown"
    """The request left and its fate is not known: the phone may be ringing."""

    @property
    def permanent(self) -> bool:
        """Whether dialling again cannot mend it."""
        return self in (FailureClass.NUMBER, FailureClass.BLOCKED, FailureClass.ACCOUNT)


_CODES: dict[FailureClass, frozenset[int]] = {
    FailureClass.NUMBER: frozenset({21201, 21202, 21211, 21214, 21217, 13223, 13224}),
    FailureClass.BLOCKED: frozenset({21216, 13225}),
    FailureClass.ACCOUNT: frozenset(
        {10001, 10002, 20003, 20005, 20006, 20404, 21203, 21205, 21206, 21208, 21209, 21210, 21212, 21213, 21215}
        | {21218, 21219}
    ),
    FailureClass.TRANSIENT: frozenset({10004, 22005}),
    FailureClass.RATE_LIMITED: frozenset({20429}),
    FailureClass.UNKNOWN: frozenset({20500, 20503}),
}
_BY_CODE = {code: failure for failure, codes in _CODES.items() for code in codes}
_BY_STATUS = {
    401: FailureClass.ACCOUNT,
    403: FailureClass.ACCOUNT,
    404: FailureClass.ACCOUNT,
    408: FailureClass.UNKNOWN,
    429: FailureClass.RATE_LIMITED,
}


def classify(status: int, code: int | None) -> FailureClass:
    """The class of an HTTP answer that is no success, by its `status` and Twilio's error `code` if it has one.

    Anything but a refusal in so many words (4xx) leaves the outcome unknown.
    """
    if not 400 <= status < 500:
        return FailureClass.UNKNOWN
    if code in _BY_CODE:
        return _BY_CODE[code]
    return _BY_STATUS.get(status, FailureClass.TRANSIENT)


class DialFailed(Exception):
    """The provider did not take the call. `reason` names no number; `retry_after` is in seconds, as it asked."""

    def __init__(
        self, failure: FailureClass, reason: str, *, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.code = code
        self.retry_after = retry_after
