"""Stored events that this build cannot decode: damaged, or written by a newer build during a rolling upgrade.

A reader that decides must not skip such an event: it would decide on a state that is not that of the log. A message
whose handler meets one is delivered again until a build that can decode it takes over (law 12).
"""

from collections.abc import Sequence
from datetime import datetime

import structlog

from chassis.metrics import UNREADABLE

_MAX_REMEMBERED = 1_000

logger = structlog.get_logger()


class UnreadableEvent(Exception):
    """A stored event that cannot be decoded. `reasons` has a line per wrong field, without any of its values."""

    def __init__(self, stream: str, sequence: int, subject: str, time: datetime, reasons: Sequence[str]) -> None:
        super().__init__(f"this build cannot decode message {sequence} of {stream}: {'; '.join(reasons)}")
        self.stream = stream
        self.sequence = sequence
        self.subject = subject
        self.time = time
        self.reasons = tuple(reasons)


class UnreadableEvents:
    """Counts how often `reader` meets an unreadable event, and logs each such event once."""

    def __init__(self, reader: str) -> None:
        self._count = UNREADABLE.labels(reader=reader)
        self._reader = reader
        self._logged: set[tuple[str, int]] = set()

    def report(self, error: UnreadableEvent) -> None:
        """Counts the event; logs it if this reader has not logged it yet."""
        self._count.inc()
        position = error.stream, error.sequence
        if position in self._logged:
            return
        if len(self._logged) >= _MAX_REMEMBERED:
            self._logged.clear()
        self._logged.add(position)
        logger.error(
            "event_unreadable",
            reader=self._reader,
            stream=error.stream,
            sequence=error.sequence,
            reasons=list(error.reasons),
        )
