"""The health of the installation, examined once for all who ask within a few seconds."""

import asyncio
import time
from collections.abc import Callable

from edge.ports.health import Health, Installation

FRESH_SECONDS = 5.0
"""An answer is at most this old. So a key that asks all the time costs no more than one that asks now and then."""


class HealthChecks:
    """Examines the installation at most once in `FRESH_SECONDS`, and once at a time."""

    def __init__(self, installation: Installation, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._installation = installation
        self._monotonic = monotonic
        self._examining: asyncio.Task[Health] | None = None
        self._ended_at: float | None = None

    async def read(self) -> Health:
        """Returns the health. An examination goes on when the client that began it disconnects."""
        if self._examining is None or self._is_old():
            self._ended_at = None
            self._examining = asyncio.create_task(self._examine(), name="health")
        return await asyncio.shield(self._examining)

    async def _examine(self) -> Health:
        try:
            return await self._installation.examine()
        finally:
            self._ended_at = self._monotonic()

    def _is_old(self) -> bool:
        return self._ended_at is not None and self._monotonic() >= self._ended_at + FRESH_SECONDS
