"""The keys of dead letters: those of old days are destroyed, so that the copies of requests become unreadable."""

from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.client import Client

from chassis.dead_letters import read_dead_letters
from chassis.keyring import Keyring
from chassis.sealed_copies import day_of_key

logger = structlog.get_logger()


class NatsDeadLetterKeys:
    """Implements `call_orchestrator.ports.DeadLetterKeys`."""

    def __init__(self, client: Client, keyring: Keyring, kept_days: int) -> None:
        """`kept_days`: how long a key is kept; 0: for ever."""
        self._client = client
        self._keyring = keyring
        self._kept_days = kept_days

    async def destroy_old(self) -> None:
        """Destroys the keys of all days that are over for so long. A repetition changes nothing."""
        if not self._kept_days:
            return
        oldest = (datetime.now(UTC) - timedelta(days=self._kept_days)).date()
        keys = {stored.copy.key async for stored in read_dead_letters(self._client) if stored.copy}
        old = sorted(key for key in keys if (day := day_of_key(key)) and day < oldest)
        for key in old:
            await self._keyring.destroy(key)
        if old:
            logger.info("dead_letter_keys_destroyed", days=len(old))
