"""The states of a call, each holding only what is true in it.

Theory. A call is dialled in attempts. Between attempts it is `Pending`, first for its time, then for a slot. An attempt
goes forward through `Dialing`, `Ringing` and `InProgress`, may skip any of them (facts come in any order), and never
goes back. It ends in `Ended`, or in `Pending` once more. Every state but `Ended` has exactly one deadline, so none can
be stuck (law 3).

An attempt of which it is certain that no phone rang is no dial. `never_rang` counts them; all others are dials, and
`max_retries` counts dials. An attempt that never rang leaves its dial still to be made, until `dial_by`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Status(StrEnum):
    """The names of the states, as users see them."""

    PENDING = "pending"
    DIALING = "dialing"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELED = "canceled"
    VOICEMAIL = "voicemail"
    EXPIRED = "expired"


class Hangup(StrEnum):
    """Why we asked for the line to be closed. It decides what the end of the attempt is called."""

    CANCELED = "canceled"
    VOICEMAIL = "voicemail"
    FAX = "fax"
    TOO_LONG = "too_long"
    CONCLUDED = "concluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was agreed for this call. `dial_within`: how late after its due time it may still be dialled."""

    max_retries: int
    retry_delay: timedelta
    ring_time: timedelta
    max_talk: timedelta
    dial_within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Waiting to be dialled, for the first time or again; `attempt` attempts lie behind it.

    It waits for its time first, and then, until `queued_until`, for a slot. `refusals`: how many attempts at this dial
    have not rung; if there are any, `dial_by` says until when it may still be made, and `reason` why the last did not.
    """

    attempt: int
    due_at: datetime
    queued_until: datetime | None = None
    never_rang: int = 0
    refusals: int = 0
    dial_by: datetime | None = None
    reason: str | None = None

    @property
    def status(self) -> Status:
        """``pending``."""
        return Status.PENDING

    @property
    def deadline(self) -> datetime:
        """When its time comes; once it has come: when it is too late."""
        return self.queued_until or self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An attempt under way. `checks`: how often its outcome has been asked for since its deadline first passed."""

    attempt: int
    dialed_at: datetime
    deadline: datetime
    checks: int = 0
    hangup: Hangup | None = None
    disposition: str | None = None
    never_rang: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing(Line):
    """On its way to the telephone network; nobody has said yet that it rings. `refusals`, `dial_by`: see `Pending`.

    A log that was written before there was a `dial_by` has none.
    """

    refusals: int = 0
    dial_by: datetime | None = None

    @property
    def status(self) -> Status:
        """``dialing``."""
        return Status.DIALING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing(Line):
    """The phone rings."""

    @property
    def status(self) -> Status:
        """``ringing``."""
        return Status.RINGING


@dataclass(frozen=True, slots=True, kw_only=True)
class InProgress(Line):
    """Somebody or something has answered."""

    answered_at: datetime

    @property
    def status(self) -> Status:
        """``in_progress``."""
        return Status.IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Over. Only a person's request can bring it back to `Pending`."""

    status: Status
    attempt: int
    ended_at: datetime
    disposition: str | None = None
    never_rang: int = 0

    @property
    def deadline(self) -> None:
        """None: nothing more is waited for."""
        return


Live = Dialing | Ringing | InProgress
State = Pending | Dialing | Ringing | InProgress | Ended


def dials(state: State) -> int:
    """How often the call has been dialled, a present attempt included."""
    return state.attempt - state.never_rang


def deadline(state: State) -> datetime | None:
    """When the state is over; none in a final one."""
    return state.deadline
