"""Where a call may be that the log does not have: in the archive of ended calls.

Archived calls are not looked up: the archive is a directory that the edge cannot read. So the hint is the same for
every unknown id, and tells a key that is limited to campaigns nothing about the calls of others.
"""

import time
from collections.abc import Callable
from uuid import UUID

from edge.ports import ArchiveName, Unavailable

READ_SECONDS = 60.0
"""The name of the archive is read at most this often, however many unknown ids are asked for."""


class ArchivedCalls:
    """Says how to read a call that may be archived."""

    def __init__(self, archive: ArchiveName, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._archive = archive
        self._monotonic = monotonic
        self._name: str | None = None
        self._read_at: float | None = None

    async def hint(self, call_id: UUID) -> str:
        """Returns what to do about an unknown call; empty if no call of this log was archived."""
        now = self._monotonic()
        if self._read_at is None or now >= self._read_at + READ_SECONDS:
            self._read_at = now
            try:
                self._name = await self._archive.read()
            except Unavailable:
                return ""
        if self._name is None:
            return ""
        return (
            f"; if it ended long ago, it is in the archive {self._name}: `centralita replay show {call_id} --archive "
            "DIRECTORY` shows it"
        )
