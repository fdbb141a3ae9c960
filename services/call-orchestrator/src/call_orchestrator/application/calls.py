"""Load, decide, append, effects: the whole of the service, whatever the input was.

Everything may arrive twice, late or out of order (law 6). The append is guarded by the sequence that was loaded, so of
two replicas one loses and decides again on what the other wrote. A message that comes again after its decision was
stored finds that decision by its causation id; only the effects are repeated, and those are idempotent themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog

from call_orchestrator import metrics as measures
from call_orchestrator.application.call_terms import Policy, Unacceptable, agreed, revised
from call_orchestrator.application.snapshots import event_of, state_of, terms_of
from call_orchestrator.domain.decisions import Event, Ignored, Refused
from call_orchestrator.domain.inputs import ChangeRequested, Input, Requested, RetryRequested
from call_orchestrator.domain.machine import create, decide
from call_orchestrator.ports import CallLog, Greetings, Queue, Stored, Timers
from chassis.event_log import Conflict
from contracts import (
    AudioRequested,
    Call,
    CallChangeRequested,
    CallRequested,
    CallStatus,
    CommandOutcome,
    Envelope,
    call_id_of,
)
from contracts.script import greeting, render

MAX_RACES = 20

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallInput:
    """An input for one call, the message it came in, and the request that changes what was agreed, if it does."""

    call_id: UUID
    input: Input
    cause: Envelope
    redelivered: bool = False
    request: CallRequested | CallChangeRequested | None = None


class CallService:
    """Decides what becomes of calls."""

    def __init__(
        self,
        calls: CallLog,
        timers: Timers,
        queue: Queue,
        greetings: Greetings,
        policy: Policy,
        now: Callable[[], datetime],
    ) -> None:
        self._calls = calls
        self._timers = timers
        self._queue = queue
        self._greetings = greetings
        self._policy = policy
        self._now = now

    async def request(self, request: CallRequested, cause: Envelope, *, redelivered: bool = False) -> CommandOutcome:
        """A call is asked for. The same request again is the same call, and changes nothing."""
        request_id = request.request_id or cause.id
        named = request.model_copy(update={"request_id": request_id})
        told = CallInput(
            call_id_of(request_id), Requested(scheduled_at=request.scheduled_at), cause, redelivered, named
        )
        return await self.tell(told)

    async def change(
        self, request: CallChangeRequested, cause: Envelope, *, redelivered: bool = False
    ) -> CommandOutcome:
        """A waiting call is to be changed."""
        terms = bool(request.changes().keys() - {"scheduled_at"})
        told = ChangeRequested(scheduled_at=request.scheduled_at, terms=terms)
        return await self.tell(CallInput(request.call_id, told, cause, redelivered, request))

    async def tell(self, told: CallInput) -> CommandOutcome:
        """Decides one input and sees to what follows from it. Raises Conflict after too many lost races."""
        for _ in range(MAX_RACES):
            stored = await self._calls.load(told.call_id)
            if stored and await self._decided_before(stored, told):
                await self._follow_up(stored, told.cause)
                return _accepted(stored.call)
            try:
                return await self._decide(told, stored)
            except Conflict:
                continue
        raise Conflict(f"lost {MAX_RACES} races for call {told.call_id}")

    async def _decided_before(self, stored: Stored, told: CallInput) -> bool:
        if stored.cause_id == told.cause.id:
            return True
        # A consumer's new leader may not know that it was delivered, and a retry must not be obeyed twice.
        again = told.redelivered or isinstance(told.input, RetryRequested)
        return again and await self._calls.has_decided(told.call_id, told.cause)

    async def _decide(self, told: CallInput, stored: Stored | None) -> CommandOutcome:
        now = self._now()
        try:
            decided, call = self._judge(told, stored, now)
        except Unacceptable as refusal:
            return _refused(told.call_id, stored, list(refusal.reasons))
        if isinstance(decided, Refused):
            return _refused(told.call_id, stored, [decided.reason])
        if isinstance(decided, Ignored):
            logger.debug("ignored", input=type(told.input).__name__, reason=decided.reason)
            await self._follow_up(stored, told.cause)
            return _accepted(call)
        changed = tuple(told.request.changes()) if isinstance(told.request, CallChangeRequested) else ()
        event = event_of(decided, call, now, changed)
        sequence = await self._calls.append(event, after=stored.sequence if stored else 0, cause=told.cause)
        measures.observe(stored.call if stored else None, event.call)
        about = {"call_id": str(event.call_id), "status": event.call.status, "attempt": event.call.attempt}
        logger.info("decided", fact=event.event_name, **about)
        await self._follow_up(Stored(event.call, sequence, told.cause.id), told.cause)
        return _accepted(event.call)

    def _judge(self, told: CallInput, stored: Stored | None, now: datetime) -> tuple[Event | Ignored | Refused, Call]:
        if stored is None:
            if not (isinstance(told.input, Requested) and isinstance(told.request, CallRequested)):
                raise Unacceptable("there is no such call")
            return create(told.input, now), agreed(told.call_id, told.request, self._policy, now)
        terms = terms_of(stored.call, self._policy.dial_within)
        decided = decide(state_of(stored.call), told.input, terms, now)
        if isinstance(told.request, CallChangeRequested) and not isinstance(decided, Ignored | Refused):
            return decided, revised(stored.call, told.request)
        return decided, stored.call

    async def _follow_up(self, stored: Stored | None, cause: Envelope) -> None:
        """Makes the world equal to the log. Idempotent, so a crash before it heals when the message comes again."""
        if stored is None:
            return
        call = stored.call
        if call.status.is_final or call.deadline_at is None:
            await self._timers.clear(call.call_id)
            return
        await self._timers.set(call.call_id, call.deadline_at, after=stored.sequence, cause=cause)
        if call.is_queued:
            await self._queue.join(call, due_sequence=stored.sequence, cause=cause)
        elif call.status is CallStatus.PENDING and call.attempt == 0:
            await self._greet(stored, cause)

    async def _greet(self, stored: Stored, cause: Envelope) -> None:
        call = stored.call
        words = greeting(render(call.script_template, call.variables))
        wanted = AudioRequested(
            call_id=call.call_id, attempt=0, turn=0, sentence=0, text=words, language=call.language, is_reusable=True
        )
        # Once for each event: a greeting that was changed and changed back is asked for again.
        once = uuid5(NAMESPACE_OID, f"{call.call_id}/greeting/{stored.sequence}")
        await self._greetings.request(wanted, event_id=str(once), cause=cause)


def _accepted(call: Call) -> CommandOutcome:
    return CommandOutcome(accepted=True, call_id=call.call_id, request_id=call.request_id, status=call.status)


def _refused(call_id: UUID, stored: Stored | None, reasons: list[str]) -> CommandOutcome:
    status = stored.call.status if stored else None
    return CommandOutcome(accepted=False, call_id=call_id, status=status, reasons=tuple(reasons))
