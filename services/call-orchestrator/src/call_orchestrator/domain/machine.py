"""The laws of a call: ``decide(state, input) -> event | nothing`` and ``evolve(state, event) -> state``.

An event carries the state after it, so `evolve` is its projection: a log is folded without the rules of its day.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from call_orchestrator.domain.attempts import decide_live
from call_orchestrator.domain.decisions import Changed, Created, Decision, Due, Event, Ignored, Moved, Refused
from call_orchestrator.domain.inputs import (
    Admitted,
    AnswerClassified,
    CancelRequested,
    ChangeRequested,
    ConversationEnded,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Input,
    NetworkReported,
    Requested,
    RetryRequested,
    TimerDue,
)
from call_orchestrator.domain.states import (
    Dialing,
    Ended,
    InProgress,
    Pending,
    Ringing,
    State,
    Terms,
    dials,
)
from call_orchestrator.domain.undialled import too_late
from contracts.vocabulary import CallStatus

ANSWER_MARGIN = timedelta(seconds=20)
"""How long after the ring time the network's verdict may take before it is asked for."""

_REPEATABLE = frozenset(
    {CallStatus.NO_ANSWER, CallStatus.BUSY, CallStatus.FAILED, CallStatus.VOICEMAIL, CallStatus.EXPIRED}
)


def create(told: Requested, now: datetime) -> Created:
    """The first event of a call: it waits until it is due, which is at once if nothing else is asked."""
    return Created(state=Pending(attempt=0, due_at=max(told.scheduled_at or now, now)))


def decide(state: State, told: Input, terms: Terms, now: datetime) -> Decision:
    """What follows from `told` in `state`. Pure: the same arguments, the same answer."""
    match state:
        case Pending():
            return _decide_pending(state, told, terms, now)
        case Dialing() | Ringing() | InProgress():
            return decide_live(state, told, terms, now)
        case Ended():
            return _decide_ended(state, told, terms, now)
        case _:
            assert_never(state)


def evolve(_: State | None, event: Event) -> State:
    """The state after an event."""
    return event.state


def _decide_pending(state: Pending, told: Input, terms: Terms, now: datetime) -> Decision:
    match told:
        case TimerDue():
            return _time_has_come(state, told, terms, now)
        case Admitted():
            return _admitted(state, told, terms, now)
        case CancelRequested():
            return Moved(state=_end(CallStatus.CANCELED, state, now), reason="canceled by request")
        case RetryRequested():
            return Refused("the call is waiting to be dialled; initiate it to dial now")
        case ChangeRequested():
            return _change(state, told, now)
        case Requested():
            return Ignored("the call exists")
        case (
            DialPlaced() | DialRefused() | DialUnknown() | NetworkReported() | AnswerClassified() | ConversationEnded()
        ):
            return Ignored("no attempt is under way")
        case _:
            assert_never(told)


def _time_has_come(state: Pending, told: TimerDue, terms: Terms, now: datetime) -> Decision:
    if told.deadline_at < state.deadline_at:
        return Ignored("an older deadline")
    until = state.dial_expires_at or state.due_at + terms.dial_within
    if state.queue_expires_at is not None or now > until:
        return _expired(state, now)
    return Due(state=replace(state, queue_expires_at=until))


def _admitted(state: Pending, told: Admitted, terms: Terms, now: datetime) -> Decision:
    if state.queue_expires_at is None or told.attempt != state.attempt + 1:
        return Ignored("it waits for no slot, or for that of another attempt")
    if now > state.queue_expires_at:
        return _expired(state, now)
    return Moved(
        state=Dialing(
            attempt=told.attempt,
            dialed_at=now,
            deadline_at=now + terms.ring_time + ANSWER_MARGIN,
            undialled_attempts=state.undialled_attempts,
            undialled_in_a_row=state.undialled_in_a_row,
            dial_expires_at=state.queue_expires_at,
        )
    )


def _expired(state: Pending, now: datetime) -> Decision:
    return Moved(state=_end(CallStatus.EXPIRED, state, now), reason=too_late(state.reason))


def _change(state: Pending, told: ChangeRequested, now: datetime) -> Decision:
    """A changed call waits for its time again; one whose time has come and stays keeps its place among those due.

    What it was refused for until then counts no more: who changes it wants it dialled at that time.
    """
    if state.attempt and told.terms:
        return Refused("there was an attempt to dial it; only its time can still be changed")
    wanted = state.due_at if told.scheduled_at is None else max(told.scheduled_at, now)
    due_at = min(wanted, state.due_at) if wanted <= now else wanted
    return Changed(state=Pending(attempt=state.attempt, due_at=due_at, undialled_attempts=state.undialled_attempts))


def _decide_ended(state: Ended, told: Input, terms: Terms, now: datetime) -> Decision:
    match told:
        case RetryRequested():
            return _retry(state, terms, now)
        case CancelRequested() | ChangeRequested():
            return Refused(f"the call has ended: {state.status}")
        case Requested():
            return Ignored("the call exists")
        case TimerDue() | Admitted():
            return Ignored("nothing is waited for")
        case (
            DialPlaced() | DialRefused() | DialUnknown() | NetworkReported() | AnswerClassified() | ConversationEnded()
        ):
            return Ignored("the call has ended")
        case _:
            assert_never(told)


def _retry(state: Ended, terms: Terms, now: datetime) -> Decision:
    if state.status not in _REPEATABLE:
        return Refused(f"a call that is {state.status} is not dialled again")
    if dials(state) > terms.max_retries:
        return Refused(f"its retries are used up: dialled {dials(state)} times, max_retries is {terms.max_retries}")
    waiting = Pending(attempt=state.attempt, due_at=now, undialled_attempts=state.undialled_attempts)
    return Moved(state=waiting, reason="retry requested")


def _end(status: CallStatus, state: Pending, now: datetime) -> Ended:
    return Ended(status=status, attempt=state.attempt, ended_at=now, undialled_attempts=state.undialled_attempts)
