"""What must be true after a chaos run. Each check reads the recorded log and returns a line per violation."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from tests.chaos.upstream import Command, Sent

from call_orchestrator.domain.timers import EARLY_TOLERANCE
from centralita.replay.call_history import CallHistory, Decision, call_histories
from centralita.replay.record import Record
from chassis.bus_clock import MAX_ROUND_TRIP_SECONDS
from chassis.event_log import StoredEvent
from contracts import (
    LIVE_STATUSES,
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallCancelRequested,
    CallCommandRefused,
    CallRequested,
    CallRetryRequested,
    CallStatus,
    CommandOutcome,
    DialLookedUp,
    DialPlaced,
    HangupReason,
    PersonalRequest,
    TelephonyStatusReported,
    TimerDue,
)
from contracts.streams import REQUESTS
from records.call_ids import call_of
from records.messages import Message

MAX_EARLY = EARLY_TOLERANCE + timedelta(seconds=MAX_ROUND_TRIP_SECONDS / 2)
"""The orchestrator obeys a timer that is a little early, and knows the server's time with an error of half a trip."""


@dataclass
class Log:
    """The recorded log of a run, by call."""

    record: Record

    @cached_property
    def histories(self) -> Mapping[UUID, CallHistory]:
        """The decisions of each call that was requested or exists."""
        return {UUID(history.call_id): history for history in call_histories(self.record.messages)}

    @cached_property
    def requests(self) -> Mapping[str, tuple[Message, StoredEvent]]:
        """The messages of REQUESTS by their ids."""
        stored = [(one, one.stored_event()) for one in self.record.messages if one.stream == REQUESTS.name]
        return {event.envelope.id: (message, event) for message, event in stored}

    def decisions(self, call_id: UUID) -> list[Decision]:
        """Returns the decisions on a call, in the order of the log."""
        history = self.histories.get(call_id)
        return history.decisions if history else []

    def last(self, call_id: UUID) -> Call | None:
        """Returns the call as it is now; None if it does not exist."""
        decisions = self.decisions(call_id)
        return decisions[-1].event.call if decisions else None


def lost_messages(log: Log, sent: Mapping[str, Sent]) -> Iterator[str]:
    """Yields each acknowledged message that the stream does not have, and each abandoned request that it has.

    Requests in clear are erased once they are decided. `lost_requests`, `lost_commands` and the checks of contacts find
    one that led to nothing.
    """
    for message_id, one in sent.items():
        if one.sequence and message_id not in log.requests and not isinstance(one.event, PersonalRequest):
            yield f"{message_id}: acknowledged as {REQUESTS.name}/{one.sequence}, and not in the stream"
        if one.is_abandoned and (message_id in log.requests or log.decisions(one.call_id)):
            yield f"{message_id}: refused by the stream, but {one.call_id} exists"


def requests_in_clear(log: Log) -> Iterator[str]:
    """Yields each request with personal data in clear that is still in the stream."""
    for message_id, (message, stored) in log.requests.items():
        if stored.envelope.person is None and isinstance(stored.event, PersonalRequest):
            yield f"{message_id}: {stored.event.event_name} is in clear in {REQUESTS.name}/{message.sequence}"


def lost_requests(log: Log, requested: Iterable[UUID]) -> Iterator[str]:
    """Yields each requested call that does not exist."""
    for call_id in requested:
        if not log.decisions(call_id):
            yield f"{call_id}: requested and acknowledged, but the log has no such call"


def calls_without_end(log: Log) -> Iterator[str]:
    """Yields each call without a final status, and each that left a final status without a retry command."""
    for call_id, history in log.histories.items():
        call = log.last(call_id)
        if call and not call.status.is_final:
            yield f"{call_id}: {call.status}, attempt {call.attempt}, deadline {call.deadline_at}"
        for before, after in zip(history.decisions, history.decisions[1:], strict=False):
            is_reopened = before.event.call.status.is_final and not after.event.call.status.is_final
            if is_reopened and not (after.cause and isinstance(after.cause.stored.event, CallRetryRequested)):
                yield f"{call_id}: {before.event.call.status} became {after.event.call.status} at {after.sequence}"


def leaked_slots(log: Log) -> list[str]:
    """Returns each call whose slot is occupied at the end of the log, folded as `call_orchestrator.domain.slots`."""
    occupied: dict[str, int] = {}
    for message in log.record.messages:
        family, *tokens = message.subject.split(".")
        call_id = call_of(message) or ""
        if family == "call" and message.stream != REQUESTS.name:
            if tokens[-1] not in LIVE_STATUSES and occupied.get(call_id, message.sequence) < message.sequence:
                del occupied[call_id]
        elif family == "admission":
            event = message.event()
            if isinstance(event, AdmissionGranted):
                occupied[call_id] = message.sequence
            elif isinstance(event, AdmissionReleased) and occupied.get(call_id) == event.grant_sequence:
                del occupied[call_id]
    return [f"{call_id}: its slot, granted at {sequence}, is occupied" for call_id, sequence in occupied.items()]


def early_timers(log: Log) -> Iterator[str]:
    """Yields each decision on a timer that was stored more than `MAX_EARLY` before the deadline of the call.

    A timer that wakes the call, because its number is free, is early on purpose.
    """
    for call_id, history in log.histories.items():
        for before, decision in zip(history.decisions, history.decisions[1:], strict=False):
            cause = decision.cause.stored.event if decision.cause else None
            is_timer = isinstance(cause, TimerDue) and not cause.is_number_free
            deadline_at = before.event.call.deadline_at
            if is_timer and deadline_at and decision.at < deadline_at - MAX_EARLY:
                seconds = (deadline_at - decision.at).total_seconds()
                yield f"{call_id}: {decision.event.event_name} at {decision.sequence}, {seconds:.1f} s too early"


def commands_out_of_order(log: Log, sent: Mapping[str, Sent]) -> Iterator[str]:
    """Yields each decision on a command that the log has before that on an earlier command or request."""
    positions = {message_id: message.sequence for message_id, (message, _) in log.requests.items()}
    positions |= {message_id: one.sequence for message_id, one in sent.items() if one.sequence}
    for call_id, history in log.histories.items():
        newest = 0
        for decision in history.decisions:
            if sequence := positions.get(decision.cause_id or ""):
                if sequence < newest:
                    yield f"{call_id}: {REQUESTS.name}/{sequence} was decided after {newest}"
                newest = max(newest, sequence)


def repeated_decisions(log: Log) -> Iterator[str]:
    """Yields each input on which a call was decided more than once."""
    for call_id, history in log.histories.items():
        decided = Counter(decision.cause_id for decision in history.decisions)
        yield from (f"{call_id}: {count} decisions on {cause}" for cause, count in decided.items() if count > 1)


def lost_commands(log: Log, sent: Mapping[str, Sent], outcomes: Mapping[str, CommandOutcome]) -> Iterator[str]:
    """Yields each acknowledged command on which the log has no decision, although its call was requested before it.

    A refused command of an existing call is a decision, too: ``call.command_refused`` with the reason.
    """
    decided = {decision.cause_id: decision.event for one in log.histories.values() for decision in one.decisions}
    requested_at: dict[UUID, int] = {}
    for one in sent.values():
        if isinstance(one.event, CallRequested) and one.sequence:
            requested_at[one.call_id] = min(one.sequence, requested_at.get(one.call_id, one.sequence))
    for message_id, one in sent.items():
        command = one.event
        if not isinstance(command, Command) or one.sequence is None:
            continue
        decision, outcome = decided.get(message_id), outcomes.get(message_id)
        is_refused = isinstance(decision, CallCommandRefused)
        if decision is None and requested_at.get(command.call_id, one.sequence) < one.sequence:
            reasons = ", ".join(outcome.reasons) if outcome else "no outcome"
            yield f"{message_id}: {command.event_name} led to nothing ({reasons}), but {command.call_id} was requested"
        elif (
            decision and not is_refused and isinstance(command, CallCancelRequested) and not _is_canceled(decision.call)
        ):
            yield f"{message_id}: a cancel led to {decision.call.status}"
        elif decision and outcome and outcome.accepted is is_refused:
            yield f"{message_id}: {command.event_name} led to {decision.event_name}, and its outcome says otherwise"


def _is_canceled(call: Call) -> bool:
    return call.hangup_reason is HangupReason.CANCELED or call.status is CallStatus.CANCELED


def shared_provider_calls(log: Log) -> Iterator[str]:
    """Yields each call of the provider that the log knows for more than one attempt."""
    attempts: dict[str, set[tuple[str, int]]] = {}
    for message in log.record.messages:
        event = message.event() if message.subject.startswith(("dial.", "telephony.")) else None
        if isinstance(event, DialPlaced | DialLookedUp | TelephonyStatusReported) and event.provider_call_id:
            attempts.setdefault(event.provider_call_id, set()).add((str(event.call_id), event.attempt))
    for provider_call_id, known in attempts.items():
        if len(known) > 1:
            yield f"{provider_call_id}: {', '.join(f'{call_id}/{attempt}' for call_id, attempt in sorted(known))}"


def counts(log: Log) -> Counter[str]:
    """Returns how many calls have each status."""
    return Counter(call.status.value for call_id in log.histories if (call := log.last(call_id)))
