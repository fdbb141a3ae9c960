"""Erases persons whose data has been kept as long as the campaigns permit.

When a call ends, the state of its number notes until when its personal data is kept (`NumberState.kept_until`): the
latest end of the retentions of all its calls. A campaign without a retention, in an installation without one, neither
extends nor begins it. Such a state does not expire before the erasure.

Once a day, each replica reads the states of all numbers, and commands the erasure of each person whose time has come
(`application.erasure`). The command names that time, and is refused if it has changed. So the replicas need not agree
who commands, a repetition is harmless, and a pass that was interrupted or left out is done by the next one.

The same pass destroys the old keys of dead letters (`chassis.sealed_copies`).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from call_orchestrator.metrics import RETENTION_ENDED
from call_orchestrator.ports import DeadLetterKeys, NumberStates, PersonCommands
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import ErasureReason, PersonEraseRequested

INTERVAL = timedelta(days=1)
_FAILURE_PAUSE_SECONDS = 60.0

logger = structlog.get_logger()


class Retention:
    """Commands the erasure of persons."""

    def __init__(
        self,
        numbers: NumberStates,
        commands: PersonCommands,
        now: Callable[[], datetime],
        mapping: TimeMapping = REAL_TIME,
        dead_letter_keys: DeadLetterKeys | None = None,
    ) -> None:
        """`mapping`: from the time of `now` to that in which it waits."""
        self._dead_letter_keys = dead_letter_keys
        self._numbers = numbers
        self._commands = commands
        self._now = now
        self._mapping = mapping

    async def run(self) -> None:
        """Checks all numbers at each interval, and begins at once."""
        while True:
            pause_seconds = self._mapping.real_seconds(INTERVAL)
            try:
                await self.check()
                if self._dead_letter_keys:
                    await self._dead_letter_keys.destroy_old()
            except Exception as error:  # noqa: BLE001  the next pass begins again
                logger.warning("retention_interrupted", error=repr(error))
                pause_seconds = min(pause_seconds, _FAILURE_PAUSE_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def check(self) -> int:
        """Commands the erasure of each person whose data is not kept any longer; returns how many there are."""
        count, now = 0, self._now()
        async for number in self._numbers.all():
            if number.kept_until is None or number.kept_until > now:
                continue
            command = PersonEraseRequested(
                number_digest=number.number_digest, reason=ErasureReason.RETENTION, kept_until=number.kept_until
            )
            await self._commands.erase(command)
            RETENTION_ENDED.inc()
            count += 1
        if count:
            logger.info("retention_ended", persons=count)
        return count
