"""The states of a call, each holding only what is true in it.

Theory. A call is dialled in attempts. Between attempts it is `Pending`, first for its time, then for a slot. An attempt
goes forward through `Dialing`, `Ringing` and `InProgress`, may skip any of them (facts come in any order), and never
goes back. It ends in `Ended`, or in `Pending` once more. Every state but `Ended` has exactly one deadline, so none can
be stuck (law 3).

An attempt of which it is certain that no phone rang is no dial. `never_rang` counts them; all others are dials, and
`max_retries` counts dials. An attempt that never rang leaves its dial still to be made, until `dial_expires_at`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.vocabulary import CallStatus, Disposition, HangupReason


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

    It waits for its time first, and then, until `queue_expires_at`, for a slot. `undialled_in_a_row`: how many attempts
    at this dial were undialled; if there were any, the dial may be made until `dial_expires_at`, and `reason` says why
    the last one was undialled.
    """

    attempt: int
    due_at: datetime
    queue_expires_at: datetime | None = None
    undialled_attempts: int = 0
    undialled_in_a_row: int = 0
    dial_expires_at: datetime | None = None
    reason: str | None = None

    @property
    def status(self) -> CallStatus:
        """``pending``."""
        return CallStatus.PENDING

    @property
    def deadline_at(self) -> datetime:
        """When its time comes; once it has come: when it is too late."""
        return self.queue_expires_at or self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An attempt under way. `checks`: how often its outcome has been asked for since its deadline first passed."""

    attempt: int
    dialed_at: datetime
    deadline_at: datetime
    settlement_checks: int = 0
    hangup_reason: HangupReason | None = None
    disposition: Disposition | None = None
    undialled_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing(Line):
    """On its way to the telephone network; not ringing yet. `undialled_in_a_row`, `dial_expires_at`: see `Pending`.

    A log that was written before there was a `dial_expires_at` has none.
    """

    undialled_in_a_row: int = 0
    dial_expires_at: datetime | None = None

    @property
    def status(self) -> CallStatus:
        """``dialing``."""
        return CallStatus.DIALING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing(Line):
    """The phone rings."""

    @property
    def status(self) -> CallStatus:
        """``ringing``."""
        return CallStatus.RINGING


@dataclass(frozen=True, slots=True, kw_only=True)
class InProgress(Line):
    """Somebody or something has answered."""

    answered_at: datetime

    @property
    def status(self) -> CallStatus:
        """``in_progress``."""
        return CallStatus.IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Over. Only a person's request can bring it back to `Pending`."""

    status: CallStatus
    attempt: int
    ended_at: datetime
    disposition: Disposition | None = None
    undialled_attempts: int = 0

    @property
    def deadline_at(self) -> None:
        """None: nothing more is waited for."""
        return


Live = Dialing | Ringing | InProgress
State = Pending | Dialing | Ringing | InProgress | Ended


def dials(state: State) -> int:
    """How often the call has been dialled, a present attempt included."""
    return state.attempt - state.undialled_attempts


def deadline(state: State) -> datetime | None:
    """When the state is over; none in a final one."""
    return state.deadline_at
