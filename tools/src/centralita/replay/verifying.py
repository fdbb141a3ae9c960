"""Every recorded input decided again: a decision must equal the recorded one, and what came to nothing must again.

Exact for decisions: the log has the state before, the input, and the instant (``occurred_at``). What a request left
open was filled in from the house's defaults of that day; those stand in the call. One limit, ``DIAL_WITHIN_MINUTES``,
stands only in calls that wait for a slot; for the others it is given, and matters only to one that comes due too late.

An input that came to nothing left no trace, so the state in which it was handled is not known exactly: see
`centralita.replay.cases.Case.states_for`. If it would not come to nothing in any of those, that is a doubt and no
drift: an input whose replica was killed is handled again later, in whatever state the call has then. It is judged only
if the orchestrator had acknowledged it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from centralita.replay.cases import Case, Decision, Input, cases
from centralita.replay.redeciding import DIAL_WITHIN, decided, policy_of
from centralita.replay.sources import Record
from contracts import CallCreated, CallDecision


@dataclass(frozen=True, slots=True)
class Drift:
    """A decision that would be another one now. `differences`: field, recorded, decided now."""

    call_id: str
    stream: str
    sequence: int
    reason: str
    differences: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """What was decided again. `drifts` and `doubts` (see above): in the order of the log; `unjudged`: what a span of
    time does not hold whole, and inputs that nobody had acknowledged yet."""

    calls: int
    decisions: int
    without_effect: int
    unjudged: int
    drifts: tuple[Drift, ...]
    doubts: tuple[Drift, ...] = ()


Judged = tuple[Drift | None, bool]
"""The drift, if there is one, and whether it could be judged at all."""


async def verify(
    record: Record, *, dial_within: timedelta = DIAL_WITHIN, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Decides the whole record again."""
    found = cases(record.messages)
    total = len(found)
    drifts: list[Drift] = []
    doubts: list[Drift] = []
    decisions = without_effect = unjudged = 0
    for number, case in enumerate(found, start=1):
        verdicts = [await _decision(case, place, record, dial_within) for place in range(len(case.decisions))]
        decisions += sum(judged for _, judged in verdicts)
        silent = [await _silence(case, told, record, dial_within) for told in case.without_effect]
        without_effect += sum(judged for _, judged in silent)
        unjudged += sum(not judged for _, judged in (*verdicts, *silent))
        drifts += [drift for drift, _ in verdicts if drift]
        doubts += [doubt for doubt, _ in silent if doubt]
        if progress:
            progress(number, total)
    return Verification(total, decisions, without_effect, unjudged, _ordered(drifts), _ordered(doubts))


def _ordered(found: list[Drift]) -> tuple[Drift, ...]:
    return tuple(sorted(found, key=lambda drift: (drift.stream, drift.sequence)))


async def _decision(case: Case, place: int, record: Record, dial_within: timedelta) -> Judged:
    recorded = case.decisions[place]
    before = case.decisions[place - 1].event.call if place else None
    begins = isinstance(recorded.event, CallCreated)
    if recorded.cause is None or (before is None and not begins):
        missing = f"the message {recorded.cause_id} that caused it" if recorded.cause is None else "what was before it"
        return (None, False) if record.scope.is_span else (_drift(recorded, f"{missing} is not in the record"), True)
    policy = policy_of(recorded.event.call, dial_within)
    again = await decided(before, recorded.cause.told, policy, recorded.event.occurred_at)
    cause = recorded.cause.told.event.event_name
    if again is None:
        return _drift(recorded, f"from {cause} {recorded.event.event_name} was decided, now nothing"), True
    if differences := _differences(recorded.event, again):
        return _drift(recorded, f"from {cause} {recorded.event.event_name} was decided, now another", differences), True
    return None, True


async def _silence(case: Case, told: Input, record: Record, dial_within: timedelta) -> Judged:
    message = told.message
    acknowledged = message.sequence <= record.handled.get(message.stream, 0)
    given_up = f"{message.stream}/{message.sequence}" in record.given_up
    if given_up or not acknowledged or record.scope.is_span:  # its decision may stand outside the span
        return None, False
    now: CallDecision | None = None
    for before, at in case.states_for(told):
        now = await decided(before, told.told, policy_of(before, dial_within), at)
        if now is None:
            return None, True
    assert now is not None  # noqa: S101  there is at least one state
    reason = f"from {told.told.event.event_name} nothing was decided, now {now.event_name} ({now.call.status})"
    return Drift(case.call_id, message.stream, message.sequence, reason), True


def _drift(recorded: Decision, reason: str, differences: tuple[tuple[str, Any, Any], ...] = ()) -> Drift:
    return Drift(str(recorded.event.call_id), "CALLS", recorded.sequence, reason, differences)


def _differences(recorded: CallDecision, again: CallDecision) -> tuple[tuple[str, Any, Any], ...]:
    """Compared is what the recorded message says: a field that came into the contract later says nothing of then."""
    if type(recorded) is not type(again):
        return (("fact", recorded.event_name, again.event_name), *_fields(recorded.call, again.call, "call."))
    fields = _fields(recorded, again, "", exclude={"call"})
    return (*fields, *_fields(recorded.call, again.call, "call."))


def _fields(
    recorded: BaseModel, again: BaseModel, prefix: str, exclude: set[str] | None = None
) -> tuple[tuple[str, Any, Any], ...]:
    then = recorded.model_dump(mode="json", exclude_unset=True, exclude=exclude)
    now = again.model_dump(mode="json")
    return tuple((f"{prefix}{name}", value, now[name]) for name, value in then.items() if value != now[name])
