"""``python -m centralita.docs.state_machine``: the state machine as the docs show it, found by asking the code itself.

Every kind of input is put to every kind of state; what is decided becomes the table and the arrows.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import Decision, Ignored, Moved, Refused
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Dialing, Ended, InProgress, Pending, Ringing, State, Terms
from contracts.vocabulary import AnsweredBy, CallStatus, Disposition, HangupReason, TelephonyStatus

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TERMS = Terms(
    max_retries=1,
    retry_delay=timedelta(minutes=60),
    ring_time=timedelta(seconds=30),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(hours=24),
)
LATER = NOW + timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Case:
    """One state, one input, and what is decided."""

    state_name: str
    input_name: str
    state: State
    told: inputs.Input
    decision: Decision


def states() -> dict[str, State]:
    """Every state, in each variant that changes what follows."""
    dialing = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER)
    ringing = Ringing(attempt=1, dialed_at=NOW, deadline_at=LATER)
    talking = InProgress(attempt=1, dialed_at=NOW, deadline_at=LATER, answered_at=NOW)
    found: dict[str, State] = {
        "pending": Pending(attempt=0, due_at=NOW),
        "pending (too late)": Pending(attempt=0, due_at=NOW - timedelta(days=2)),
        "pending (again)": Pending(attempt=1, due_at=NOW),
        "pending (refused)": Pending(
            attempt=1, due_at=NOW, undialled_attempts=1, undialled_in_a_row=1, dial_expires_at=LATER, reason="429"
        ),
        "pending (queued)": Pending(attempt=0, due_at=NOW - timedelta(hours=1), queue_expires_at=LATER),
        "pending (queued too long)": Pending(
            attempt=0, due_at=NOW - timedelta(days=2), queue_expires_at=NOW - timedelta(days=1)
        ),
        "dialing": dialing,
        "dialing (last attempt)": replace(dialing, attempt=2),
        "dialing (too late for another attempt)": replace(dialing, dial_expires_at=NOW),
        "dialing (asked thrice)": replace(dialing, settlement_checks=3),
        "dialing (asked for hours)": replace(dialing, settlement_checks=12),
        "ringing": ringing,
        "ringing (last attempt)": replace(ringing, attempt=2),
        "in_progress": talking,
        "in_progress (concluded)": replace(talking, disposition=Disposition.CONFIRMED),
    }
    for hangup in HangupReason:
        found[f"in_progress (hang-up: {hangup})"] = replace(talking, hangup_reason=hangup)
    for status in (status for status in CallStatus if status.is_final):
        found[str(status)] = Ended(status=status, attempt=1, ended_at=NOW)
        found[f"{status} (retries used up)"] = Ended(status=status, attempt=2, ended_at=NOW)
    found["failed (two attempts, one never rang)"] = Ended(
        status=CallStatus.FAILED, attempt=2, ended_at=NOW, undialled_attempts=1
    )
    return found


def told(attempt: int) -> dict[str, inputs.Input]:
    """Every input, in each variant that changes what follows."""
    found: dict[str, inputs.Input] = {
        "requested": inputs.Requested(),
        "cancel requested": inputs.CancelRequested(),
        "retry requested": inputs.RetryRequested(),
        "change requested": inputs.ChangeRequested(terms=True),
        "time changed": inputs.ChangeRequested(scheduled_at=LATER),
        "timer due": inputs.TimerDue(deadline_at=LATER),
        "older timer due": inputs.TimerDue(deadline_at=NOW - timedelta(days=3)),
        "admitted": inputs.Admitted(attempt=attempt + 1),
        "dial placed": inputs.DialPlaced(attempt=attempt),
        "dial refused": inputs.DialRefused(attempt=attempt, is_permanent=False, reason="429"),
        "dial refused for good": inputs.DialRefused(attempt=attempt, is_permanent=True, reason="no such number"),
        "dial unknown": inputs.DialUnknown(attempt=attempt),
        "looked up: no such call": inputs.NetworkReported(attempt=attempt, status=None, looked_up=True),
        "looked up: in progress": inputs.NetworkReported(
            attempt=attempt, status=TelephonyStatus.IN_PROGRESS, looked_up=True
        ),
        "network: failed for good": inputs.NetworkReported(
            attempt=attempt, status=TelephonyStatus.FAILED, is_permanent=True
        ),
        "conversation ended": inputs.ConversationEnded(
            attempt=attempt, disposition=Disposition.CONFIRMED, goodbye_seconds=2
        ),
        "fact of another attempt": inputs.DialRefused(attempt=attempt + 5, is_permanent=True, reason="?"),
    }
    for status in TelephonyStatus:
        found[f"network: {status}"] = inputs.NetworkReported(attempt=attempt, status=status)
    for answered_by in AnsweredBy:
        found[f"answered by {answered_by}"] = inputs.AnswerClassified(attempt=attempt, answered_by=answered_by)
    return found


def cases() -> Iterator[Case]:
    """Every pair."""
    for state_name, state in states().items():
        for input_name, said in told(state.attempt).items():
            yield Case(state_name, input_name, state, said, decide(state, said, TERMS, NOW))


def verdict(decision: Decision) -> str:
    """What a decision is called in the table."""
    if isinstance(decision, Moved):
        return f"→ {decision.state.status}"
    if isinstance(decision, Refused):
        return "refused"
    return "" if isinstance(decision, Ignored) else type(decision).__name__


def document() -> str:
    """The page ``docs/state-machine.md``."""
    arrows: dict[tuple[str, str], list[str]] = {}
    rows: dict[str, list[str]] = {}
    for case in cases():
        rows.setdefault(case.state_name, []).append(verdict(case.decision))
        if isinstance(case.decision, Moved):
            names = arrows.setdefault((str(case.state.status), str(case.decision.state.status)), [])
            if case.input_name not in names:
                names.append(case.input_name)
    heads = list(told(0))
    lines = ["    [*] --> pending: requested"]
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
            "Every input in every state. An empty cell: ignored (old news, a repetition, or nothing follows).",
            "",
            "| state | " + " | ".join(heads) + " |",
            "|---" * (len(heads) + 1) + "|",
            *table,
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(document())
