"""Carries out inputs of calls: load, decide, append, effects.

Any input may arrive twice, late or out of order (law 6). The append is guarded by the sequence that was loaded. If two
replicas decide at once, one of them gets a conflict, loads what the other appended, and decides again. The causation id
of an event shows that a message was decided before. Only its effects are repeated then, and each is idempotent.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

import structlog

from call_orchestrator import metrics
from call_orchestrator.application.call_decisions import decide_call
from call_orchestrator.application.call_inputs import CallInput
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.stored import StoredCall, load_call
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.ports import Log, Queue, Timers
from chassis.event_log import Conflict, Guard
from contracts import AudioRequested, Call, CallDecision, CallStatus, CommandOutcome, Envelope
from contracts.script import render_greeting
from contracts.streams import call_state_filter

MAX_CONFLICTS = 20

logger = structlog.get_logger()


class CallService:
    """Decides the inputs of calls."""

    def __init__(self, log: Log, timers: Timers, queue: Queue, policy: Policy, now: Callable[[], datetime]) -> None:
        self._log = log
        self._timers = timers
        self._queue = queue
        self._policy = policy
        self._now = now

    async def handle(self, call_input: CallInput) -> CommandOutcome:
        """Decides one input, appends the event and applies its effects. Raises Conflict after `MAX_CONFLICTS`."""
        for _ in range(MAX_CONFLICTS):
            stored = await load_call(self._log, call_input.call_id)
            if stored and await self._is_decided(stored, call_input):
                await self._apply_effects(stored, call_input.cause)
                return _accepted(stored.call)
            try:
                return await self._decide(stored, call_input)
            except Conflict:
                continue
        raise Conflict(f"call {call_input.call_id}: {MAX_CONFLICTS} conflicts in a row; the message is delivered again")

    async def _is_decided(self, stored: StoredCall, call_input: CallInput) -> bool:
        if stored.cause_id == call_input.cause.id:
            return True
        # A new leader of the consumer may not know that the message was delivered; a retry must not count twice.
        may_be_repeated = call_input.is_redelivered or isinstance(call_input.input, inputs.CallRetryRequested)
        if not may_be_repeated:
            return False
        events = await self._log.read([call_state_filter(call_input.call_id)])
        return any(stored_event.envelope.causation_id == call_input.cause.id for stored_event in events)

    async def _decide(self, stored: StoredCall | None, call_input: CallInput) -> CommandOutcome:
        before = stored.call if stored else None
        decision: CallDecision | Ignored | Refused
        if stored and _is_slot_freed(stored, call_input):
            decision = Ignored("a later event of the call has freed the slot")
        else:
            decision = decide_call(before, call_input, self._policy, self._now())
        if isinstance(decision, Refused):
            return CommandOutcome(
                accepted=False,
                call_id=call_input.call_id,
                status=before.status if before else None,
                reasons=(decision.reason,),
                code=decision.code,
            )
        if stored and isinstance(decision, Ignored):
            logger.debug("input_ignored", input=type(call_input.input).__name__, reason=decision.reason)
            await self._apply_effects(stored, call_input.cause)
            return _accepted(stored.call)
        assert isinstance(decision, CallDecision)  # noqa: S101  only inputs of existing calls are ignored
        after = await self._append(decision, stored, call_input.cause)
        await self._apply_effects(after, call_input.cause)
        return _accepted(after.call)

    async def _append(self, event: CallDecision, stored: StoredCall | None, cause: Envelope) -> StoredCall:
        guard = Guard(call_state_filter(event.call_id), stored.sequence if stored else 0)
        appended = await self._log.append(event, cause=cause, guard=guard)
        metrics.count_decision(stored.call if stored else None, event.call)
        call = event.call
        logger.info(
            "call_decided",
            event_name=event.event_name,
            call_id=str(call.call_id),
            status=call.status,
            attempt=call.attempt,
        )
        return StoredCall(call, appended.sequence, cause.id)

    async def _apply_effects(self, stored: StoredCall, cause: Envelope) -> None:
        """Sets or clears the timer; joins the queue or requests the greeting if the snapshot needs it. Idempotent.

        After a crash between append and effects, the message is delivered again and the effects are applied then.
        """
        call = stored.call
        if call.deadline_at is None:
            await self._timers.clear(call.call_id, after_sequence=stored.sequence)
            return
        await self._timers.set(call.call_id, call.deadline_at, after_sequence=stored.sequence, cause=cause)
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


def _is_slot_freed(stored: StoredCall, call_input: CallInput) -> bool:
    """Whether the input is a grant whose slot is free again, because the call has an event after the grant.

    `call_orchestrator.domain.slots` frees the slot at such an event. A call that still waits is granted another slot.
    """
    return call_input.grant_sequence is not None and stored.sequence > call_input.grant_sequence


def _accepted(call: Call) -> CommandOutcome:
    return CommandOutcome(accepted=True, call_id=call.call_id, request_id=call.request_id, status=call.status)
