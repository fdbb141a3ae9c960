"""The events of the log as they are stored."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chassis.event_log import StoredEvent, UnreadableEvent

FeedEvent = StoredEvent | UnreadableEvent
"""An event of the log, or the reasons why this build cannot decode it."""


class Selection(Protocol):
    """Which events a stream contains."""

    def may_include(self, subject: str) -> bool:
        """Whether events with this subject may be included. Called for each message of the log."""

    def includes(self, event: FeedEvent) -> bool:
        """Whether the event is included, if its subject may be."""


class LiveEvents(Protocol):
    """The events of one stream that are stored after `start_sequence`, in the order of the log."""

    start_sequence: int

    async def next(self, ends_at: float) -> FeedEvent | None:
        """Returns the next event; None at `ends_at` (time of the event loop), and if the stream cannot continue."""


class EventFeed(Protocol):
    """The events of the log, as they are stored."""

    def subscribe(self, selection: Selection) -> AbstractAsyncContextManager[LiveEvents]:
        """Yields the events from now on. Entering raises Unavailable."""

    def read(self, selection: Selection, *, after_sequence: int, end_sequence: int) -> AsyncGenerator[FeedEvent, None]:
        """Yields the stored decisions between two sequences, without the first. Raises Unavailable."""

    async def last_sequence(self) -> int:
        """Returns the sequence of the newest event. Raises Unavailable."""
