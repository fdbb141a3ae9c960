"""The effects of a decision on a call: its timer and its place in the queue."""

from datetime import datetime

from call_orchestrator.application.stored import StoredCall
from call_orchestrator.ports import Queue, Timers
from contracts import Envelope


class Effects:
    """Applies the effects that the last event of a call requires. Idempotent.

    After a crash between append and effects, the message is delivered again and the effects are applied then.
    """

    def __init__(self, timers: Timers, queue: Queue) -> None:
        self._timers = timers
        self._queue = queue

    async def apply(self, stored: StoredCall, cause: Envelope, timer_at: datetime | None = None) -> None:
        """Sets or clears the timer; joins the queue if the call waits for a slot.

        `timer_at`: when the timer fires; None: at the deadline.
        """
        call = stored.call
        if call.deadline_at is None:
            await self._timers.clear(call.call_id, after_sequence=stored.sequence)
            return
        fires_at = timer_at or call.deadline_at
        await self._timers.set(call.call_id, fires_at, after_sequence=stored.sequence, cause=cause)
        if call.is_queued:
            await self._queue.join(call, due_sequence=stored.sequence, cause=cause)
