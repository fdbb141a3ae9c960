"""The effects of a decision on a call: its timer, its place in the queue, and the release of or wait for its number.

A new call that is granted a slot at once gets no timer: the grant is in the log, and is delivered until it is carried
out. What the grant leads to sets the timer (docs/adr/0050).
"""

from datetime import datetime

from call_orchestrator.application.immediate_grants import ImmediateGrants
from call_orchestrator.application.number_claims import NumberClaims
from call_orchestrator.application.number_waits import waits_for_number
from call_orchestrator.application.stored import StoredCall
from call_orchestrator.ports import Queue, Timers
from contracts import Call, CallCreated, Envelope
from contracts.events.timers import schedule_subject


class Effects:
    """Applies the effects that the last event of a call requires. Idempotent.

    After a crash between append and effects, the message is delivered again and the effects are applied then.
    """

    def __init__(
        self,
        timers: Timers,
        queue: Queue,
        claims: NumberClaims | None = None,
        grants: ImmediateGrants | None = None,
    ) -> None:
        """`grants`: grants slots to calls that need not join the queue; None: each call joins it."""
        self._timers = timers
        self._queue = queue
        self._claims = claims
        self._grants = grants

    async def apply(
        self, stored: StoredCall, cause: Envelope, *, previous: Call | None = None, timer_at: datetime | None = None
    ) -> None:
        """Sets or clears the timer; requests a slot if the call waits for one; releases its number.

        A call that waits for its number is noted there after its timer is set, because it may be woken at once.

        `previous`: the call when its effects were last applied; it is the present call if no event followed. The timer
        is set only if the deadline has changed since, and the call joins only after an event. None: always.
        `timer_at`: when the timer fires; None: at the deadline.
        """
        call = stored.call
        is_attempt_over = call.attempt and not call.status.is_live and (previous is None or previous.status.is_live)
        if self._claims and (is_attempt_over or (call.status.is_final and previous is not call)):
            await self._claims.release(call, cause)
        if call.deadline_at is None:
            if previous and previous.deadline_at is not None:
                await self._timers.clear(previous)
            return
        needs_slot, is_new = call.is_queued and previous is not call, isinstance(stored.event, CallCreated)
        if needs_slot and is_new and await self._is_granted(stored, cause):
            return
        if previous is None or schedule_subject(previous) != schedule_subject(call):
            await self._timers.set(call, timer_at or call.deadline_at, previous=previous, cause=cause)
        if needs_slot and (is_new or not await self._is_granted(stored, cause)):
            await self._queue.join(call, due_sequence=stored.sequence, cause=cause)
        if self._claims and waits_for_number(stored.event) and previous is not call:
            await self._claims.wait(call, cause)

    async def _is_granted(self, stored: StoredCall, cause: Envelope) -> bool:
        """Grants the call a slot, if it need not join the queue. Returns whether it was granted one."""
        if self._grants is None:
            return False
        return await self._grants.grant(stored.call, due_sequence=stored.sequence, cause=cause)
