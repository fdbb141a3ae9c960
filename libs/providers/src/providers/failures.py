"""Why requests to vendors fail."""

from enum import StrEnum


class Failure(StrEnum):
    """Why a request brought no complete answer. The list is closed because it labels metrics."""

    DEADLINE = "deadline"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """HTTP 4xx except 429: a wrong key, no credit, an unknown model or voice."""
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    ACCOUNT = "account"
    """The vendor refuses every request of the account: wrong credentials, a suspension."""
    CUT_OFF = "cut_off"
    """The answer ended early: the connection was lost, or the end marker is missing."""
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    EMPTY = "empty"
    """A complete answer without content: no sound, or neither words nor tool calls."""
    BREAKER_OPEN = "breaker_open"
    """The request was not sent, because the circuit breaker is open."""
    NO_CAPACITY = "no_capacity"
    """The request was not sent, because too many requests were already in progress."""

    @property
    def is_transient(self) -> bool:
        """Whether an immediate retry may succeed. After a missed deadline there is no time for one."""
        return self in {Failure.UNREACHABLE, Failure.RATE_LIMITED, Failure.SERVER_ERROR, Failure.CUT_OFF}

    @property
    def is_refusal(self) -> bool:
        """Whether the vendor works and the request itself was the problem; a circuit breaker ignores refusals."""
        return self in {Failure.REFUSED, Failure.TOO_LONG, Failure.FILTERED, Failure.EMPTY}


class RequestFailed(Exception):
    """A request brought no complete answer. The reason never contains words of a conversation: it is logged."""

    def __init__(self, failure: Failure, reason: str = "") -> None:
        super().__init__(reason or failure.value)
        self.failure = failure
