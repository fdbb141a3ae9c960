"""The log of calls, requests to the orchestrator and the speech of voice."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from chassis.event_log import Guard, StoredEvent, UnreadableEvent
from contracts import (
    CommandOutcome,
    Envelope,
    Event,
)
from records.messages import Message
from telephony.instructions import PlayTurn


class CallLog(Protocol):
    """The log of calls. Every method raises Unavailable; those that return events also raise Unreadable."""

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, from the leader."""

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, from any node, which may lag."""

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Returns every event on these filters, in log order, as new as the leader's."""

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        """Returns the events on a filter after a sequence near the end, of these types, in log order.

        From any node: the newest may be missing, except up to `known_sequence`.
        """

    async def append(
        self, event: Event, *, cause: Envelope | None, event_id: str, guard: Guard | None = None
    ) -> StoredEvent:
        """Appends an event and returns it. Raises chassis.event_log.Conflict if the guard fails.

        An event with the same id is stored once: a second append leaves the first one as it is.
        """


class DisplayedLog(CallLog, Protocol):
    """The log of calls, for people too."""

    async def read_all(self, subjects: Sequence[str]) -> list[StoredEvent | UnreadableEvent]:
        """As `read`, with an UnreadableEvent in place of each event that cannot be decoded."""


class CallMessages(Protocol):
    """The stored messages of one call, for people: its events, its requests, and its slots and permits."""

    async def of(self, call_id: UUID) -> list[Message]:
        """Returns the messages, whose personal fields are opened. Raises Unavailable."""


class ArchiveName(Protocol):
    """The archive to which ended calls of the log were moved."""

    async def read(self) -> str | None:
        """Returns its id; None if nothing was archived. Raises Unavailable."""


OnOutcome = Callable[[CommandOutcome], Awaitable[None]]
"""Called with the outcome of a request."""


class Requests(Protocol):
    """Requests and commands for the orchestrator."""

    async def send(
        self,
        request: Event,
        message_id: str | None = None,
        *,
        on_late_outcome: OnOutcome | None = None,
        person: str | None = None,
    ) -> CommandOutcome | None:
        """Stores the request and returns its outcome; None if there is no outcome in time.

        A request that contains no number is sealed under the key of `person`, the digest of its call's number.

        A request with the same `message_id` is decided once; without one, every request has its own. A request without
        an outcome is stored, and is decided later; `on_late_outcome` is then called with the outcome, unless it is
        very late or this process ends before it. Raises Unavailable and TooLarge.
        """


class Backlog(Protocol):
    """The calls that wait for a slot and the requests that are not decided yet, and their limit."""

    async def check(self, count: int = 1) -> None:
        """Raises BacklogFull if the limit is reached; otherwise counts that many requests as undecided."""


class Speech(Protocol):
    """The synthesized speech of voice."""

    def stream_turn(self, turn: PlayTurn) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Yields the turn's ``audio/mpeg`` during its synthesis. Entering raises SpeechUnavailable."""
