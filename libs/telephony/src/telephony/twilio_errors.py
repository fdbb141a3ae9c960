"""Twilio's error codes and HTTP statuses, and the class of failure that each one is."""

from telephony.dial_failures import FailureClass

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
"""Twilio documents which errors exist, but not which are final or whom they concern.

The sets are this project's reading of https://www.twilio.com/docs/api/errors; docs/adr/0016 gives the reasons.
"""
_CLASS_BY_CODE = {code: failure for failure, codes in _CODES.items() for code in codes}
_CLASS_BY_HTTP_STATUS = {
    401: FailureClass.ACCOUNT,
    403: FailureClass.ACCOUNT,
    404: FailureClass.ACCOUNT,
    408: FailureClass.UNKNOWN,
    429: FailureClass.RATE_LIMITED,
}
_FORBIDDEN = 403


def classify_failure(http_status: int, code: int | None) -> FailureClass:
    """Returns the class of an unsuccessful answer. `code` is Twilio's error code, if the body has one.

    Every answer but a clear refusal (4xx) leaves the outcome unknown. A 403 with an unlisted code may concern this
    number alone, so it is not a failure of the account.
    """
    if not 400 <= http_status < 500:
        return FailureClass.UNKNOWN
    if code in _CLASS_BY_CODE:
        return _CLASS_BY_CODE[code]
    if http_status == _FORBIDDEN and code is not None:
        return FailureClass.TRANSIENT
    return _CLASS_BY_HTTP_STATUS.get(http_status, FailureClass.TRANSIENT)
