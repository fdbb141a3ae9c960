"""Carries out grants: the call is dialled, or its slot is released."""

from dataclasses import replace

from call_orchestrator import metrics
from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.stored import load_call
from call_orchestrator.domain.decisions import Refused
from call_orchestrator.ports import Log, Timers
from chassis.retry_later import RetryLater
from contracts import AdmissionGranted, AdmissionReleased, Envelope


class StaleRead(RetryLater):
    """The server that answered has not yet stored the event on which the grant is based.

    The wait ends when that server has caught up with the leader of the stream.
    """

    def __init__(self) -> None:
        super().__init__(delay=0.2)


class Grants:
    """Carries out grants."""

    def __init__(self, calls: CallService, log: Log, timers: Timers) -> None:
        self._calls = calls
        self._log = log
        self._timers = timers

    async def carry_out(
        self, grant: AdmissionGranted, *, sequence: int, cause: Envelope, is_redelivered: bool = False
    ) -> None:
        """Applies the grant to its call. Releases the slot if the call makes no decision. Raises StaleRead.

        The call is read once, unless it is dialled without a read. A second delivery is harmless: `CallService` decides
        a grant once, and the release always has the same id. It sets the timer of a call that still waits, because a
        call that was granted its slot at once has none. So the call ends also if the grant becomes a dead letter.
        """
        decoded = call_input(grant, cause, is_redelivered=is_redelivered)
        given = replace(decoded, grant_sequence=sequence)
        if await self._calls.decide_recent(given):
            return
        before = await load_call(self._log, grant.call_id)
        if before is None or before.sequence < grant.due_sequence:
            raise StaleRead
        if is_redelivered and before.call.is_queued and before.call.deadline_at:
            await self._timers.set(before.call, before.call.deadline_at, previous=None, cause=cause)
        after = await self._calls.carry_out(given, loaded=before)
        if not isinstance(after, Refused) and after.sequence < sequence and not after.call.status.is_live:
            release = AdmissionReleased(call_id=grant.call_id, attempt=grant.attempt, grant_sequence=sequence)
            await self._log.append(release, cause=cause, event_id=f"{cause.id}/released")
            metrics.RELEASED_SLOTS.inc()
