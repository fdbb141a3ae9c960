"""An event log in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from chassis.event_log import Conflict, Guard, StoredEvent
from contracts import Envelope, Event


@dataclass
class FakeEventLog:
    """Stores events with guards and deduplication, as `chassis.event_log.EventLog` does on a server.

    `before_append` runs before each append; a test uses it to let another writer append first.
    """

    stored: list[StoredEvent] = field(default_factory=list)
    before_append: Callable[[Event], None] = lambda _: None
    reads: list[str] = field(default_factory=list)
    """The filters of which the newest event was read."""
    filters_read: list[str] = field(default_factory=list)
    """The filters of all reads."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
        ttl_seconds: int | None = None,
        person: str | None = None,
    ) -> StoredEvent:
        """Returns the stored event; an event id that is stored already is not stored again. Raises Conflict.

        Nothing expires.

        As on the server, the guard is checked before the id. A guard that fails because of the event itself is no
        conflict.
        """
        self.before_append(event)
        if guard and guard.sequence != max((stored.sequence for stored in self._on(guard.subject)), default=0):
            newest = await self.last(event.subject)
            if newest is None or newest.envelope.id != event_id:
                raise Conflict(guard.subject)
            return replace(newest, is_repeated=True)
        known = next((stored for stored in self.stored if stored.envelope.id == event_id), None)
        return replace(known, is_repeated=True) if known else self.store(event, event_id, cause)

    def store(self, event: Event, event_id: str | None = None, cause: Envelope | None = None) -> StoredEvent:
        """Stores an event without a guard and returns it."""
        sequence = len(self.stored) + 1
        envelope = Envelope.of(id=event_id or f"event-{sequence}", source="test", time=self.now(), cause=cause)
        stored = StoredEvent(event, envelope, sequence, stored_at=envelope.time)
        self.stored.append(stored)
        return stored

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, or none."""
        self.reads.append(subject)
        self.filters_read.append(subject)
        return next(reversed(self._on(subject)), None)

    async def read(self, subjects: Sequence[str], *, after_sequence: int = 0) -> list[StoredEvent]:
        """Returns all events on the filters after a sequence, in the order of the log."""
        self.filters_read += subjects
        later = self.stored[after_sequence:]
        return [stored for stored in later if any(matches(subject, stored.event.subject) for subject in subjects)]

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, or none. This log has one node."""
        return await self.last(subject)

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        """Returns the events on a filter after a sequence, of these types."""
        found = await self.read([subject], after_sequence=after_sequence)
        assert known_sequence is None or known_sequence <= after_sequence or found[-1].sequence >= known_sequence
        return [stored for stored in found if kinds is None or isinstance(stored.event, tuple(kinds))]

    @classmethod
    def of(cls, *events: Event) -> Self:
        """Returns a log that has these events."""
        log = cls()
        for event in events:
            log.store(event)
        return log

    def events(self, kind: type[Event] = Event) -> list[Event]:
        """Returns the stored events, or those of a type."""
        return [stored.event for stored in self.stored if isinstance(stored.event, kind)]

    def _on(self, subject: str) -> list[StoredEvent]:
        return [stored for stored in self.stored if matches(subject, stored.event.subject)]


def matches(filter: str, subject: str) -> bool:
    """Returns whether a subject matches a NATS filter with the wildcard ``*``."""
    wanted, tokens = filter.split("."), subject.split(".")
    return len(wanted) == len(tokens) and all(one in ("*", token) for one, token in zip(wanted, tokens, strict=True))
