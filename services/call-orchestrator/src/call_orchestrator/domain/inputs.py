"""What the state machine is told. Facts of an attempt carry its number: those of another one are ignored."""

from dataclasses import dataclass
from datetime import datetime

from contracts.vocabulary import AnsweredBy, Disposition, TelephonyStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Please call; not before `scheduled_at` if that is given."""

    scheduled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Please do not call, or hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested:
    """Please dial once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequested:
    """Please change the call: its time, and (`terms`) anything else."""

    scheduled_at: datetime | None = None
    terms: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue:
    """A deadline has passed; it counts only if it is the state's own."""

    deadline_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """There is a slot for the attempt."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DialPlaced:
    """The provider has taken the attempt."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRefused:
    """The provider has refused the attempt; it did not ring."""

    attempt: int
    is_permanent: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialUnknown:
    """Nobody knows whether the attempt was taken."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReported:
    """The telephone network's word on the attempt, by callback or (`looked_up`) on our question.

    No status: it was asked and knows of no such attempt. `permanent`: dialling again cannot mend it.
    """

    attempt: int
    status: TelephonyStatus | None
    duration_seconds: int | None = None
    is_permanent: bool = False
    reason: str | None = None
    looked_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerClassified:
    """Answering-machine detection has come to a result."""

    attempt: int
    answered_by: AnsweredBy


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEnded:
    """Everything has been said; the last words take `goodbye_seconds` to hear."""

    attempt: int
    disposition: Disposition
    goodbye_seconds: float


AttemptFact = DialPlaced | DialRefused | DialUnknown | NetworkReported | AnswerClassified | ConversationEnded
Input = Requested | CancelRequested | RetryRequested | ChangeRequested | TimerDue | Admitted | AttemptFact
