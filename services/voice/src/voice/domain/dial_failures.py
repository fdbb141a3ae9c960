"""What a failed request to dial means for the phone at the other end: it rang not, or nobody knows (law 4).

Twilio documents which errors exist, not which of them are final, nor whom they concern: the split into sets is this
project's reading of https://www.twilio.com/docs/api/errors. docs/adr/0016 has it as a table, with reasons.
"""

from enum import StrEnum


class FailureClass(StrEnum):
    """Why a dial was not taken, by what can be done about it."""

    NUMBER = "number"
    """Nobody can ever be reached there."""
    BLOCKED = "blocked"
    """The number is blocked for us."""
    NOT_ALLOWED = "not_allowed"
    """The account may not call this number, or its country, until a person allows it. It may call others."""
    ACCOUNT = "account"
    """Nobody will be dialled until a person mends the account, its credentials, or what is sent with every dial."""
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
        return self in (FailureClass.NUMBER, FailureClass.BLOCKED)


_CODES: dict[FailureClass, frozenset[int]] = {
    FailureClass.NUMBER: frozenset({21201, 21202, 21211, 21214, 21217, 13223, 13224}),
    FailureClass.BLOCKED: frozenset({21216, 13225}),
    FailureClass.NOT_ALLOWED: frozenset({13227, 21203, 21215, 21219}),
    FailureClass.ACCOUNT: frozenset(
        {10001, 10002, 10005, 20003, 20005, 20006, 20404, 21205, 21209, 21210, 21212, 21213, 21218}
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
_FORBIDDEN = 403


def classify(status: int, code: int | None) -> FailureClass:
    """The class of an HTTP answer that is no success, by its `status` and Twilio's error `code` if it has one.

    Anything but a refusal in so many words (4xx) leaves the outcome unknown. What is forbidden by a code that is not
    listed may concern this number alone, so it stops nobody else.
    """
    if not 400 <= status < 500:
        return FailureClass.UNKNOWN
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == _FORBIDDEN and code is not None:
        return FailureClass.TRANSIENT
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
