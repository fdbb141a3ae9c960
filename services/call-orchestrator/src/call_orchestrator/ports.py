"""What the orchestrator needs of the world."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts import AudioRequested, Call, CallEvent, Envelope


class LostRace(Exception):
    """Another replica decided first; load and decide again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The call as the log has it: its last event's sequence, and the message that this event followed from."""

    call: Call
    sequence: int
    cause_id: str | None


class CallLog(Protocol):
    """The calls, as their log has them."""

    async def load(self, call_id: UUID) -> Stored | None:
        """The call as it stands; none if there is no such call."""

    async def append(self, event: CallEvent, *, after: int, cause: Envelope) -> int:
        """Adds an event and gives its sequence. Raises LostRace unless the call's last one is still `after`."""

    async def has_decided(self, call_id: UUID, cause: Envelope) -> bool:
        """Whether some event of the call followed from `cause`."""


class Timers(Protocol):
    """One deadline a call."""

    async def set(self, call_id: UUID, deadline: datetime, *, after: int, cause: Envelope) -> None:
        """Replaces the call's deadline, unless an event newer than `after` stands in the log already."""

    async def clear(self, call_id: UUID) -> None:
        """The call waits for nothing more."""


class Greetings(Protocol):
    """The first words of a call."""

    async def request(self, greeting: AudioRequested, *, event_id: str, cause: Envelope) -> None:
        """Asks for the greeting to be made ready. The same id asks once."""
