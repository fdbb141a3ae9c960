"""``python -m centralita.docs.state_machine``: writes ``docs/state-machine.md`` from the state machine itself.

Every kind of input is decided in every kind of state; the decisions are the table and the arrows of the page.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallStatusChanged, Decision, Ignored, Refused
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.pauses import NO_PAUSES, Pause, Pauses
from call_orchestrator.domain.retry_rules import RetryRule
from call_orchestrator.domain.states import (
    Callback,
    Dialing,
    Ended,
    InProgress,
    Message,
    Pending,
    Ringing,
    State,
    Terms,
)
from contracts.transfers import TransferStatus
from contracts.vocabulary import (
    FINAL_STATUSES,
    AnsweredBy,
    CallStatus,
    Disposition,
    HangupReason,
    RetryOutcome,
    TelephonyStatus,
    VoicemailDelivery,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TERMS = Terms(
    max_retries=1,
    retry_delay=timedelta(minutes=60),
    ring_time=timedelta(seconds=30),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(hours=24),
)
_RULE = RetryRule(max_retries=1, delay=timedelta(minutes=60))
RETRY_POLICY_TERMS = replace(TERMS, retry_rules={RetryOutcome.VOICEMAIL: _RULE, RetryOutcome.HUNG_UP_EARLY: _RULE})
"""The terms of the states whose name ends in `_RETRY_POLICY`."""
_RETRY_POLICY = "(retry policy)"
_MESSAGE = "(voicemail message)"
"""The end of the names of states whose call has a message for machines."""
MESSAGE_TERMS = replace(TERMS, message_time=timedelta(minutes=1))
LATER = NOW + timedelta(minutes=1)
_TIMER = "timer due"
_PAUSED_TIMER = "timer due in a pause"
_EARLY_TIMER = "early timer due"
PAUSED = Pauses((Pause(NOW - timedelta(days=3)),))


@dataclass(frozen=True, slots=True)
class Case:
    """One state, one input, and the decision."""

    state_name: str
    input_name: str
    state: State
    input: inputs.Input
    decision: Decision


def states() -> dict[str, State]:
    """Returns every state by name, in each variant that changes a decision."""
    dialing = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER)
    ringing = Ringing(attempt=1, dialed_at=NOW, deadline_at=LATER)
    talking = InProgress(attempt=1, dialed_at=NOW, deadline_at=LATER, answered_at=NOW)
    found: dict[str, State] = {
        **_pending_states(),
        "dialing": dialing,
        "dialing (last attempt)": replace(dialing, attempt=2),
        "dialing (too late for another attempt)": replace(dialing, dial_expires_at=NOW),
        "dialing (three settlement checks)": replace(dialing, settlement_checks=3),
        "dialing (all settlement checks)": replace(dialing, settlement_checks=12),
        "dialing (concluded)": replace(dialing, disposition=Disposition.CONFIRMED),
        "ringing": ringing,
        "ringing (last attempt)": replace(ringing, attempt=2),
        "in_progress": talking,
        "in_progress (concluded)": replace(talking, disposition=Disposition.CONFIRMED),
    }
    for reason in HangupReason:
        found[f"in_progress (hang-up: {reason})"] = replace(talking, hangup_reason=reason)
    found |= _states_of_a_retry_policy(talking)
    found |= _states_of_a_message(talking)
    found |= _states_of_a_callback(talking)
    found |= _states_of_a_transfer(talking)
    for status in (status for status in CallStatus if status in FINAL_STATUSES):
        found[str(status)] = Ended(status=status, attempt=1, ended_at=NOW)
        found[f"{status} (retries used up)"] = Ended(status=status, attempt=2, ended_at=NOW)
    found["failed (two attempts, one undialled)"] = Ended(
        status=CallStatus.FAILED, attempt=2, ended_at=NOW, undialled_attempts=1
    )
    return found


def _states_of_a_retry_policy(talking: InProgress) -> dict[str, State]:
    hung_up_early: dict[str, int] = {RetryOutcome.HUNG_UP_EARLY: 1}
    return {
        f"in_progress {_RETRY_POLICY}": talking,
        f"in_progress (hang-up: voicemail) {_RETRY_POLICY}": replace(talking, hangup_reason=HangupReason.VOICEMAIL),
        f"pending (after an early hang-up) {_RETRY_POLICY}": Pending(attempt=1, due_at=LATER, retries=hung_up_early),
    }


def _states_of_a_message(talking: InProgress) -> dict[str, State]:
    beginning, playing = Message(), Message(delivery=VoicemailDelivery.CUT)
    return {
        f"in_progress {_MESSAGE}": talking,
        f"in_progress, message requested {_MESSAGE}": replace(talking, message=beginning),
        f"in_progress, message requested after the beep {_MESSAGE}": replace(
            talking, message=replace(beginning, is_after_beep=True)
        ),
        f"in_progress, message being played {_MESSAGE}": replace(talking, message=playing),
    }


def _states_of_a_callback(talking: InProgress) -> dict[str, State]:
    waits = replace(talking, callback=Callback(at=LATER, number=1))
    return {
        "in_progress (callback)": waits,
        "in_progress (callback, opted out)": replace(waits, disposition=Disposition.OPT_OUT),
        "in_progress (callback, hang-up: canceled)": replace(waits, hangup_reason=HangupReason.CANCELED),
        "pending (callback)": Pending(attempt=1, due_at=LATER, callback=waits.callback, callbacks=1),
        "completed (opted out)": Ended(
            status=CallStatus.COMPLETED, attempt=1, ended_at=NOW, disposition=Disposition.OPT_OUT
        ),
    }


def _states_of_a_transfer(talking: InProgress) -> dict[str, State]:
    transferring = replace(talking, transfer_turn=2, is_transferring=True)
    return {
        "in_progress, transfer begun": transferring,
        "in_progress, transferred": replace(transferring, disposition=Disposition.TRANSFERRED),
        "in_progress, transfer over": replace(talking, transfer_turn=2),
    }


def _pending_states() -> dict[str, State]:
    long_ago = NOW - timedelta(days=2)
    undialled = Pending(
        attempt=1, due_at=NOW, undialled_attempts=1, undialled_in_a_row=1, dial_expires_at=LATER, reason="429"
    )
    return {
        "pending (scheduled)": Pending(attempt=0, due_at=LATER),
        "pending": Pending(attempt=0, due_at=NOW),
        "pending (too late)": Pending(attempt=0, due_at=long_ago),
        "pending (retry)": Pending(attempt=1, due_at=NOW),
        "pending (after an undialled attempt)": undialled,
        "pending (queued)": Pending(attempt=0, due_at=NOW - timedelta(hours=1), queue_expires_at=LATER),
        "pending (queued too long)": Pending(attempt=0, due_at=long_ago, queue_expires_at=NOW - timedelta(days=1)),
    }


def all_inputs(attempt: int) -> dict[str, inputs.Input]:
    """Returns every input by name, in each variant that changes a decision."""
    reported, looked_up = inputs.TelephonyStatusReported, inputs.DialLookedUp
    found: dict[str, inputs.Input] = {
        "call requested": inputs.CallRequested(),
        "cancel requested": inputs.CallCancelRequested(),
        "retry requested": inputs.CallRetryRequested(),
        "change of terms requested": inputs.CallChangeRequested(changes_terms=True),
        "change of metadata requested": inputs.CallChangeRequested(),
        "change of time requested": inputs.CallChangeRequested(scheduled_at=LATER),
        _TIMER: inputs.TimerDue(deadline_at=LATER),
        _PAUSED_TIMER: inputs.TimerDue(deadline_at=LATER),
        _EARLY_TIMER: inputs.TimerDue(deadline_at=LATER),
        "older timer due": inputs.TimerDue(deadline_at=NOW - timedelta(days=3)),
        "admission granted": inputs.AdmissionGranted(attempt=attempt + 1),
        "dial refused": inputs.DialRefused(attempt=attempt, is_permanent=False, reason="429"),
        "dial refused permanently": inputs.DialRefused(attempt=attempt, is_permanent=True, reason="no such number"),
        "looked up: no such call": looked_up(attempt=attempt, status=None),
        "looked up: in progress": looked_up(attempt=attempt, status=TelephonyStatus.IN_PROGRESS),
        "reported: failed permanently": reported(attempt=attempt, status=TelephonyStatus.FAILED, is_permanent=True),
        "conversation ended": inputs.ConversationEnded(
            attempt=attempt, disposition=Disposition.CONFIRMED, goodbye_seconds=2
        ),
        "event of another attempt": inputs.DialRefused(attempt=attempt + 5, is_permanent=True, reason="?"),
    }
    for is_finished in (False, True):
        name = "message played to its end" if is_finished else "message begins"
        found[name] = inputs.MessageReported(attempt=attempt, is_finished=is_finished)
    found["callback scheduled"] = inputs.CallbackScheduled(attempt=attempt, at=LATER + timedelta(hours=1), number=2)
    found["opt-out key pressed"] = inputs.OptOutKeyPressed(attempt=attempt)
    found["person recognized"] = inputs.PersonRecognized(attempt=attempt)
    found["transfer started"] = inputs.TransferStarted(attempt=attempt, turn=2, longest=timedelta(hours=1))
    for is_accepted in (True, False):
        name = "transfer answered" if is_accepted else "transfer refused"
        found[name] = inputs.TransferAnswered(attempt=attempt, turn=2, is_accepted=is_accepted)
    for ended in (TransferStatus.COMPLETED, TransferStatus.BUSY):
        found[f"transfer ended: {ended}"] = inputs.TransferEnded(attempt=attempt, turn=2, status=ended)
    for status in TelephonyStatus:
        found[f"reported: {status}"] = reported(attempt=attempt, status=status)
    for answered_by in AnsweredBy:
        found[f"answered by {answered_by}"] = inputs.AnswerClassified(attempt=attempt, answered_by=answered_by)
    return found


def cases() -> Iterator[Case]:
    """Yields every pair of state and input."""
    for state_name, state in states().items():
        for input_name, input in all_inputs(state.attempt).items():
            pauses = PAUSED if input_name == _PAUSED_TIMER else NO_PAUSES
            decision = decide(state, input, _terms_of(state_name), _instant_of(input_name, state), pauses)
            yield Case(state_name, input_name, state, input, decision)


def _terms_of(state_name: str) -> Terms:
    if state_name.endswith(_RETRY_POLICY):
        return RETRY_POLICY_TERMS
    return MESSAGE_TERMS if state_name.endswith(_MESSAGE) else TERMS


def _instant_of(input_name: str, state: State) -> datetime:
    """Returns when the input is decided: a timer at the deadline of the state or before it, any other input now."""
    deadline_at = state.deadline_at or NOW
    at_deadline = max(deadline_at, NOW)
    early = deadline_at - timedelta(hours=1)
    return {_TIMER: at_deadline, _PAUSED_TIMER: at_deadline, _EARLY_TIMER: early}.get(input_name, NOW)


def cell(decision: Decision) -> str:
    """Returns the text of a decision in the table."""
    if isinstance(decision, CallStatusChanged):
        return f"→ {decision.state.status}"
    if isinstance(decision, Refused):
        return "refused"
    return "" if isinstance(decision, Ignored) else type(decision).__name__


def document() -> str:
    """Returns the page ``docs/state-machine.md``."""
    arrows: dict[tuple[str, str], list[str]] = {}
    rows: dict[str, list[str]] = {}
    for case in cases():
        rows.setdefault(case.state_name, []).append(cell(case.decision))
        if isinstance(case.decision, CallStatusChanged):
            names = arrows.setdefault((str(case.state.status), str(case.decision.state.status)), [])
            if case.input_name not in names:
                names.append(case.input_name)
    heads = list(all_inputs(0))
    lines = ["    [*] --> pending: call requested"]
    lines += [f"    {start} --> {end}: {' / '.join(names[:3])}" for (start, end), names in arrows.items()]
    table = [f"| {name} | " + " | ".join(row) + " |" for name, row in rows.items()]
    return "\n".join(
        [
            "# The state machine of a call",
            "",
            "Generated by `make docs` from `call_orchestrator.domain`; a test fails when this page is out of date.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            *lines,
            "```",
            "",
            "Every input in every state. An empty cell: the input is ignored (late, repeated, or without effect).",
            "",
            "| state | " + " | ".join(heads) + " |",
            "|---" * (len(heads) + 1) + "|",
            *table,
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(document())
