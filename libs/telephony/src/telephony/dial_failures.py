"""What a failed dial request means: the phone certainly did not ring, or the outcome is unknown (law 4)."""

from enum import StrEnum


class FailureClass(StrEnum):
    """Why a dial request failed, classified by what resolves it. docs/adr/0016 describes the classes."""

    NUMBER = "number"
    """The number cannot be dialled by any account."""
    BLOCKED = "blocked"
    """The provider blocks the number."""
    NOT_ALLOWED = "not_allowed"
    """The account may not dial this number or its country until a person allows it. Other numbers are not affected."""
    ACCOUNT = "account"
    """No number can be dialled until a person corrects the account, its credentials or the common request fields."""
    TRANSIENT = "transient"
    """Refused for now."""
    RATE_LIMITED = "rate_limited"
    """Too many requests. Documented as never processed; therefore the only failure that is safe to repeat."""
    UNREACHABLE = "unreachable"
    """The request was not sent: the connection failed, or none was tried."""
    UNKNOWN = "unknown"
    """The request was sent and its outcome is not known: the phone may be ringing."""

    @property
    def is_permanent(self) -> bool:
        """Whether dialling again cannot succeed."""
        return self in (FailureClass.NUMBER, FailureClass.BLOCKED)


class DialFailed(Exception):
    """The provider did not accept the call, or did not answer. `reason` contains no phone number."""

    def __init__(
        self, failure: FailureClass, reason: str, *, code: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.code = code
        self.retry_after_seconds = retry_after_seconds
