"""The effects of a decision on a call: its timer, its place in the queue, the synthesis of its greeting."""

from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

from call_orchestrator.application.stored import StoredCall
from call_orchestrator.ports import Log, Queue, Timers
from contracts import AudioRequested, CallStatus, Envelope
from contracts.script import render_greeting


class Effects:
    """Applies the effects that the last event of a call requires. Idempotent.

    After a crash between append and effects, the message is delivered again and the effects are applied then.
    """

    def __init__(self, log: Log, timers: Timers, queue: Queue) -> None:
        self._log = log
        self._timers = timers
        self._queue = queue

    async def apply(self, stored: StoredCall, cause: Envelope, timer_at: datetime | None = None) -> None:
        """Sets or clears the timer; joins the queue or requests the greeting if the snapshot needs it.

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
        elif call.status is CallStatus.PENDING and call.attempt == 0:
            await self._request_greeting(stored, cause)

    async def _request_greeting(self, stored: StoredCall, cause: Envelope) -> None:
        call = stored.call
        request = AudioRequested(
            call_id=call.call_id,
            attempt=0,
            turn=0,
            sentence=0,
            text=render_greeting(call.script_template, call.variables),
            language=call.language,
            is_reusable=True,
        )
        # One id per event: a greeting that was changed and changed back is requested again.
        event_id = uuid5(NAMESPACE_OID, f"{call.call_id}/greeting/{stored.sequence}")
        await self._log.append(request, event_id=str(event_id), cause=cause)
