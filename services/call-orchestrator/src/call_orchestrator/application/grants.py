"""What a grant leads to: the call is dialled, or the slot is given back."""

from prometheus_client import Counter

from call_orchestrator.application.calls import CallInput, CallService
from call_orchestrator.domain.inputs import Admitted
from call_orchestrator.ports import Admissions, CallLog
from chassis.retry_later import RetryLater
from contracts import AdmissionGranted, Envelope

RELEASED = Counter("centralita_released_slots", "Slots that were given to a call that waited no more")


class LagsBehind(RetryLater):
    """The server that answered has not yet stored the event on which the grant is based.

    The wait ends when that server has caught up with the stream's leader.
    """

    def __init__(self) -> None:
        super().__init__(delay=0.2)


class Grants:
    """Carries grants out."""

    def __init__(self, service: CallService, calls: CallLog, admissions: Admissions) -> None:
        self._service = service
        self._calls = calls
        self._admissions = admissions

    async def carry_out(
        self, grant: AdmissionGranted, *, sequence: int, cause: Envelope, redelivered: bool = False
    ) -> None:
        """Tells the call that it has a slot. If no decision of the call follows the grant, it is released.

        Idempotent: `CallService` decides a grant once, and a release said twice is one. Raises LagsBehind.
        """
        before = await self._calls.load(grant.call_id)
        if before is None or before.sequence < grant.due_sequence:
            raise LagsBehind
        await self._service.tell(CallInput(grant.call_id, Admitted(attempt=grant.attempt), cause, redelivered))
        stands = await self._calls.load(grant.call_id)
        if stands and stands.sequence < sequence and not stands.call.status.is_live:
            await self._admissions.release(grant, granted=sequence, cause=cause)
            RELEASED.inc()
