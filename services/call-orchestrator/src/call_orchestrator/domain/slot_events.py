"""What admission folds: the calls that wait for a slot, and the events of the log about slots."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that waits for a slot.

    `due_sequence` is the sequence of the event since which it waits, `queue_sequence` that of its message in the stream
    ``QUEUE``.
    """

    call_id: str
    campaign_id: str
    attempt: int
    due_at: datetime
    due_sequence: int
    queue_sequence: int


@dataclass(frozen=True, slots=True)
class Granted:
    """A call was granted a slot by the event of this sequence. `is_chained`: false for a grant of an older build.

    `granted_at`: when the server stored it; None: the pace does not count it.
    """

    sequence: int
    call_id: str
    campaign_id: str
    is_chained: bool = True
    granted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The grant of this sequence was released."""

    call_id: str
    grant_sequence: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The dialler has claimed the attempt of the call. `claimed_at`: when the server stored it."""

    call_id: str
    claimed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on the call has this sequence; `is_live`: whether the call is live after it."""

    sequence: int
    call_id: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """The reading of the log begins. The last grant that it has now is of this sequence; 0: it has none."""

    last_grant_sequence: int


SlotEvent = Begun | Granted | Released | Claimed | Decided
