"""Carries out inputs of calls: load, decide, append, effects.

Any input may arrive twice, late or out of order (law 6). The append is guarded by the sequence that was loaded. If two
replicas decide at once, one of them gets a conflict, loads what the other appended, and decides again. The causation id
of an event shows that a message was decided before. Only its effects are repeated then, and each is idempotent.

Commands of one call take effect in stream order (ADR 21). Each request and each command is decided once, accepted or
refused, and the decision records its position in the stream REQUESTS: `Call.command_sequence`. Before a command is
decided, the earlier undecided commands of its call are read from the stream and decided. After a request has created
its call, the commands that were stored meanwhile are decided before any effect, so before the call can be dialled. A
command without a call waits until every earlier request is decided; only then there is no such call.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from call_orchestrator import metrics
from call_orchestrator.application.backlog import Backlog
from call_orchestrator.application.call_decisions import NO_SUCH_CALL, decide_call
from call_orchestrator.application.call_inputs import CallInput, call_input
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.stored import StoredCall, load_call, load_pauses, newest_of
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.domain.inputs import TimerDue
from call_orchestrator.ports import Log, Requests
from chassis.event_log import Conflict, Guard, StoredEvent
from chassis.retry_later import RetryLater
from contracts import (
    Call,
    CallCommand,
    CallCommandRefused,
    CallCreated,
    CallDecision,
    CallRetryRequested,
    CallStatus,
    CommandOutcome,
    Envelope,
    Event,
)
from contracts.filters import call_state_filter
from contracts.vocabulary import RefusalCode

MAX_CONFLICTS = 20
_MIN_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.1, 15.0
_REQUESTS_PER_SECOND = 500
"""An upper estimate of how many requests the replicas decide."""

logger = structlog.get_logger()


class EarlierRequestUndecided(RetryLater):
    """A request that was stored before the command, and may be that of its call, is not decided yet.

    The wait ends when the requests consumer has come so far. The command is decided together with its request; the
    wait only delays its outcome. Behind many requests it is longer, so that waiting commands cost little.
    """

    def __init__(self, deliveries: int, distance: int) -> None:
        wait_seconds = max(_MIN_WAIT_SECONDS * 2 ** (min(deliveries, 16) - 1), distance / _REQUESTS_PER_SECOND)
        super().__init__(min(wait_seconds, _MAX_WAIT_SECONDS), is_unlimited=True)


class CallService:
    """Decides the inputs of calls."""

    def __init__(
        self,
        log: Log,
        requests: Requests,
        effects: Effects,
        policy: Policy,
        now: Callable[[], datetime],
        backlog: Backlog | None = None,
    ) -> None:
        self._log = log
        self._requests = requests
        self._effects = effects
        self._policy = policy
        self._now = now
        self._backlog = backlog or Backlog()

    async def handle(self, call_input: CallInput) -> CommandOutcome:
        """Decides a request, a fact or a timer, and applies its effects. Raises Conflict after `MAX_CONFLICTS`."""
        handled = await self.carry_out(call_input)
        if isinstance(handled, Refused):
            if handled.code is RefusalCode.BACKLOG_FULL:
                self._backlog.report_refusal(call_input.sequence)
            return _refused(call_input.call_id, handled)
        return _accepted(handled.call)

    async def carry_out(self, call_input: CallInput, loaded: StoredCall | None = None) -> StoredCall | Refused:
        """As `handle`; returns the call after it. `loaded`: the call, if the caller has just loaded it.

        A new request is decided as if there were no such call, without a read: the guard of the append shows whether
        that is so. If it is not, or if the request is refused, it is decided again on what the log has.
        """
        for tries in range(MAX_CONFLICTS):
            is_unread = tries == 0 and call_input.is_new_request
            stored = loaded if tries == 0 else None
            if stored is None and not is_unread:
                stored = await load_call(self._log, call_input.call_id)
            try:
                handled = await self._handle(stored, call_input, is_repeated=tries > 0)
            except Conflict:
                continue
            if not (is_unread and isinstance(handled, Refused)):
                return handled
        raise _conflicts(call_input.call_id)

    async def handle_command(self, command: StoredEvent[CallCommand]) -> CommandOutcome:
        """Decides a command and the earlier undecided ones of its call.

        Raises Conflict after `MAX_CONFLICTS`, and EarlierRequestUndecided.
        """
        call_id = command.event.call_id
        for conflicts in range(MAX_CONFLICTS):
            stored = await load_call(self._log, call_id)
            if stored is None and (distance := await self._requests.undecided_before(command.sequence)):
                raise EarlierRequestUndecided(command.deliveries, distance)
            stored = stored or await load_call(self._log, call_id)  # the request may have been decided meanwhile
            if stored is None:
                return _refused(call_id, NO_SUCH_CALL)
            try:
                return await self._handle_command(stored, command, is_repeated=conflicts > 0)
            except Conflict:
                continue
        raise _conflicts(call_id)

    async def _handle(
        self, stored: StoredCall | None, call_input: CallInput, *, is_repeated: bool
    ) -> StoredCall | Refused:
        previous, timer_at = None, None
        if stored is None or not await self._is_decided(stored, call_input):
            decision = await self._decision(stored, call_input)
            if isinstance(decision, Refused):
                return decision
            if isinstance(decision, CallDecision):
                previous = stored.call if stored else None
                stored = await self._append(decision, stored, call_input.cause)
            else:
                timer_at = decision.timer_at
                is_timer_set = not (is_repeated or _may_lack_timer(call_input))
                previous = stored.call if stored and is_timer_set else None
                logger.debug("input_ignored", input=type(call_input.input).__name__, reason=decision.reason)
        assert stored is not None  # noqa: S101  only inputs of existing calls are ignored
        if call_input.request:
            stored = await self._decide_waiting_commands(stored, call_input.sequence)
        await self._effects.apply(stored, call_input.cause, previous=previous, timer_at=timer_at)
        return stored

    async def _is_decided(self, stored: StoredCall, call_input: CallInput) -> bool:
        if stored.cause_id == call_input.cause.id:
            return True
        if not call_input.is_redelivered or call_input.request:  # a request of an existing call is never decided again
            return False
        events = await self._log.read([call_state_filter(call_input.call_id)])
        return any(stored_event.envelope.causation_id == call_input.cause.id for stored_event in events)

    async def _decision(self, stored: StoredCall | None, call_input: CallInput) -> CallDecision | Ignored | Refused:
        """Decides the input. Only a call that would expire needs the pauses of its campaign, read from the leader."""
        if stored and _is_slot_freed(stored, call_input):
            return Ignored("a later event of the call has freed the slot")
        before, now = stored.call if stored else None, self._now()
        decision = decide_call(before, call_input, self._policy, now)
        if isinstance(decision, CallCreated) and _is_due(decision.call, now):
            return self._backlog.admit(str(call_input.call_id), call_input.sequence) or decision
        if before and isinstance(decision, CallDecision) and decision.call.status is CallStatus.EXPIRED:
            pauses = await load_pauses(self._log, before.campaign_id)
            return decide_call(before, call_input, self._policy, now, pauses)
        return decision

    async def _handle_command(
        self, stored: StoredCall, command: StoredEvent[CallCommand], *, is_repeated: bool
    ) -> CommandOutcome:
        previous = None
        history = await self._history(stored.call, command)
        stored = newest_of(stored, history)
        event = _decision_on(command, history)
        if event is None:
            if _precedes_call(command, stored.call, history):
                if distance := await self._requests.undecided_before(command.sequence):
                    raise EarlierRequestUndecided(command.deliveries, distance)
                return _refused(stored.call.call_id, NO_SUCH_CALL, stored.call.status)
            previous = None if is_repeated else stored.call
            stored = await self._decide_commands(stored, await self._undecided(stored.call, command), history)
            event = stored.event
        await self._effects.apply(stored, command.envelope, previous=previous)
        if isinstance(event, CallCommandRefused):
            return _refused(stored.call.call_id, Refused(event.reason, event.code), stored.call.status)
        return _accepted(stored.call)

    async def _history(self, call: Call, command: StoredEvent[CallCommand]) -> list[StoredEvent]:
        """Returns the events of the call if they may contain a decision on the command; otherwise none.

        A command after `command_sequence` was not decided. But a retry that was stored twice, with the same id, must
        not dial twice. The cost grows with the events of the call, so other commands do not read them.
        """
        position = call.command_sequence
        is_new = position is not None and command.sequence > position and command.deliveries == 1
        if is_new and not isinstance(command.event, CallRetryRequested):
            return []
        return await self._log.read([call_state_filter(call.call_id)])

    async def _decide_waiting_commands(self, stored: StoredCall, request_sequence: int | None) -> StoredCall:
        """Decides the undecided commands that were stored after the request. A call of an older build has none.

        A repeated request may have created the call before this one, and so before commands that follow this one.
        """
        position = stored.call.command_sequence
        if position is None:
            return stored
        after_sequence = min(position, request_sequence or position)
        if not (waiting := await self._requests.commands(stored.call.call_id, after_sequence)):
            return stored
        history = await self._log.read([call_state_filter(stored.call.call_id)])
        return await self._decide_commands(newest_of(stored, history), waiting, history)

    async def _undecided(self, call: Call, command: StoredEvent[CallCommand]) -> list[StoredEvent[CallCommand]]:
        """Returns the undecided commands up to this one, which ends the list.

        In a call of an older build, and after an import, `command_sequence` does not show which ones they are.
        """
        position = call.command_sequence
        if position is None or command.sequence <= position:
            return [command]
        waiting = await self._requests.commands(call.call_id, position)
        return [*(one for one in waiting if one.sequence < command.sequence), command]

    async def _decide_commands(
        self, stored: StoredCall, commands: Sequence[StoredEvent[CallCommand]], history: Sequence[StoredEvent]
    ) -> StoredCall:
        """Decides commands in this order. One whose id was decided before, because it was stored twice, is skipped."""
        decided = _decided_ids(history)
        for command in commands:
            if command.envelope.id not in decided:
                given = call_input(command.event, command.envelope, sequence=command.sequence)
                decision = decide_call(stored.call, given, self._policy, self._now())
                assert isinstance(decision, CallDecision)  # noqa: S101  a command of an existing call is an event
                stored = await self._append(decision, stored, command.envelope)
                decided.add(command.envelope.id)
        return stored

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
        return StoredCall(event, appended.sequence, appended.envelope)


def _is_due(call: Call, now: datetime) -> bool:
    return call.is_queued or call.due_at is None or call.due_at <= now


def _is_slot_freed(stored: StoredCall, call_input: CallInput) -> bool:
    """Whether the input is a grant whose slot is free again, because the call has an event after the grant.

    `call_orchestrator.domain.slots` frees the slot at such an event. A call that still waits is granted another slot.
    """
    return call_input.grant_sequence is not None and stored.sequence > call_input.grant_sequence


def _may_lack_timer(call_input: CallInput) -> bool:
    """Whether the call may have no timer: it has fired, or an earlier delivery died before it set the timer."""
    return isinstance(call_input.input, TimerDue) or call_input.is_redelivered or call_input.request is not None


def _decided_ids(history: Sequence[StoredEvent]) -> set[str | None]:
    """Returns the ids of the commands that were decided. A command with the id of its request is a command."""
    return {known.envelope.causation_id for known in history if not isinstance(known.event, CallCreated)}


def _decision_on(command: StoredEvent[CallCommand], history: Sequence[StoredEvent]) -> Event | None:
    decisions = (
        known.event
        for known in history
        if known.envelope.causation_id == command.envelope.id and not isinstance(known.event, CallCreated)
    )
    return next(decisions, None)


def _precedes_call(command: StoredEvent[CallCommand], call: Call, history: Sequence[StoredEvent]) -> bool:
    """Whether the command was stored before the request of its call.

    An import gives messages other positions, so the times at which the server stored both are compared, too.
    """
    if call.command_sequence is None or command.sequence > call.command_sequence:
        return False
    created = next((known.stored_at for known in history if isinstance(known.event, CallCreated)), None)
    return bool(created and command.stored_at and command.stored_at < created)


def _accepted(call: Call) -> CommandOutcome:
    return CommandOutcome(accepted=True, call_id=call.call_id, request_id=call.request_id, status=call.status)


def _refused(call_id: UUID, refused: Refused, status: CallStatus | None = None) -> CommandOutcome:
    return CommandOutcome(accepted=False, call_id=call_id, status=status, reasons=(refused.reason,), code=refused.code)


def _conflicts(call_id: object) -> Conflict:
    return Conflict(f"call {call_id}: {MAX_CONFLICTS} conflicts in a row; the message is delivered again")
