"""What the orchestrator needs of the world."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from call_orchestrator.domain.slots import Waiting
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    AudioRequested,
    Call,
    CallDecision,
    Campaign,
    CampaignDecision,
    DialClaimed,
    Envelope,
)


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

    async def append(self, event: CallDecision, *, after: int, cause: Envelope) -> int:
        """Adds an event and gives its sequence. Raises Conflict unless the call's last one is still `after`."""

    async def has_decided(self, call_id: UUID, cause: Envelope) -> bool:
        """Whether some event of the call followed from `cause`."""


class Timers(Protocol):
    """One deadline a call."""

    async def set(self, call_id: UUID, deadline: datetime, *, after: int, cause: Envelope) -> None:
        """Replaces the call's deadline, unless an event newer than `after` stands in the log already."""

    async def clear(self, call_id: UUID) -> None:
        """The call waits for nothing more."""


class Queue(Protocol):
    """The calls that wait for a slot."""

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """The call waits, by the event of this sequence; said again, it replaces what was said before."""

    async def leave(self, place: int) -> None:
        """Removes what was said of a call that waits no more; nothing happens if something newer has been said."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A fact that says who holds a slot: a decision on a call, a grant, a release, a claim. Decisions come without
    their body: `live` is whether their subject says that the call is."""

    sequence: int
    call_id: str
    fact: AdmissionGranted | AdmissionReleased | DialClaimed | None
    live: bool = False


class Admissions(Protocol):
    """Slots in the log."""

    def heard(self) -> AbstractAsyncContextManager[AsyncIterator[list[Heard]]]:
        """Every fact about slots, from where it tells of all that are held, in the order of the log, without an end."""

    def waiting(self) -> AbstractAsyncContextManager[AsyncIterator[list[Waiting]]]:
        """Every call that waits, and those that come to wait, without an end. Some may wait no more."""

    async def grant(self, call: Waiting, *, since: int, after: int) -> int:
        """Gives the call a slot. Raises Conflict unless the last grant of all is still `after`."""

    async def release(self, grant: AdmissionGranted, *, granted: int, cause: Envelope) -> None:
        """The grant of this sequence was in vain. Saying so again changes nothing."""


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    """A campaign, and the sequence of its last event; 0 if it has none."""

    campaign: Campaign
    sequence: int


class CampaignLog(Protocol):
    """The campaigns, as their log has them."""

    async def load(self, campaign_id: str) -> StoredCampaign:
        """Returns the campaign as its last event carries it."""

    async def append(self, event: CampaignDecision, *, after: int, cause: Envelope) -> None:
        """Appends an event. Raises Conflict if the campaign's last sequence is no longer `after`."""

    def standings(self) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, bool]]]:
        """Whether campaigns are paused: first all of which something was said, then what is said, without an end."""


class Greetings(Protocol):
    """The first words of a call."""

    async def request(self, greeting: AudioRequested, *, event_id: str, cause: Envelope) -> None:
        """Asks for the greeting to be made ready. The same id asks once."""
