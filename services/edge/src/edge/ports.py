"""What the edge needs: the log, the audit, somebody who decides, who counts, and who speaks."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.event_log import Guard, StoredEvent
from contracts import CampaignStatistics, CommandOutcome, Envelope, Event
from contracts.audit import AuditEntry


class Unavailable(Exception):
    """Another part of the system does not answer; the same request may succeed later."""


class TooLarge(Exception):
    """The request does not fit in one message of the bus."""


class SpeechUnavailable(Exception):
    """Voice has no audio for this turn."""


class Facts(Protocol):
    """The log of calls. All raise Unavailable."""

    async def last(self, subject: str) -> StoredEvent | None:
        """The newest event on a filter; none if there is none."""

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Every event on these filters, in the order of the log."""

    async def append(self, event: Event, *, cause: Envelope, event_id: str, guard: Guard | None = None) -> None:
        """Returns once it is stored; the same id again is stored once. Raises chassis.event_log.Conflict."""


class Requests(Protocol):
    """Whoever decides about calls and campaigns."""

    async def ask(self, request: Event) -> CommandOutcome | None:
        """Stores the request and waits for its outcome; none: accepted for certain, decided later.

        Raises Unavailable and TooLarge.
        """


@dataclass(frozen=True, slots=True)
class Written:
    """An entry, and its place in the audit."""

    sequence: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """Entries in their order; `more`: others follow already."""

    written: Sequence[Written]
    more: bool


class Audit(Protocol):
    """Who did what. All raise Unavailable."""

    async def append(self, entry: AuditEntry) -> None:
        """Returns once it is stored, for good."""

    async def page(self, *, since: datetime | None, after: int, limit: int, subject: str) -> WrittenPage:
        """Up to `limit` entries on a filter after a sequence, or, if that is 0, not before an instant."""


class Statistics(Protocol):
    """Whoever counts calls."""

    async def of(self, campaign_id: str | None) -> CampaignStatistics:
        """The counters of one campaign, or of all. Raises Unavailable."""


class Speech(Protocol):
    """Whoever speaks."""

    def of_turn(self, call_id: UUID, attempt: int, turn: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The turn's ``audio/mpeg``, as it is made. Entering raises SpeechUnavailable."""
