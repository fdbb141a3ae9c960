"""The laws of an attempt under way: what the network, the conversation, people and the clock make of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from call_orchestrator.domain.decisions import (
    Concluded,
    Decision,
    HangupAsked,
    Ignored,
    Moved,
    Refused,
    SettlementAsked,
)
from call_orchestrator.domain.inputs import (
    Admitted,
    AnswerClassified,
    Answerer,
    CancelRequested,
    ChangeRequested,
    ConversationEnded,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Input,
    Network,
    NetworkReported,
    Requested,
    RetryRequested,
    TimerDue,
)
from call_orchestrator.domain.states import (
    Dialing,
    Ended,
    Hangup,
    InProgress,
    Live,
    Pending,
    Ringing,
    Status,
    Terms,
    dials,
)
from call_orchestrator.domain.undialled import put_off

FIRST_WAIT = timedelta(seconds=30)
"""How long the network has to carry out a hang-up, or to answer a question, before the next question."""
MAX_WAIT = timedelta(hours=1)
UNKNOWN_TO_NETWORK = 3
"""After so many questions, an attempt that the network knows nothing of is given up: not dialled again (law 9)."""
MAX_CHECKS = 12
"""After so many questions (about five hours) without a final answer the outcome is given up as unknown."""
GOODBYE_MARGIN = timedelta(seconds=4)
TECHNICAL_FAILURE = "technical_failure"
"""The disposition of a conversation that we could not hold: somebody was reached, and not served."""


def decide_live(state: Live, told: Input, terms: Terms, now: datetime) -> Decision:
    """What follows while an attempt is under way."""
    match told:
        case TimerDue():
            return _overdue(state, told, now)
        case CancelRequested():
            return _cancel(state, now)
        case RetryRequested():
            return Refused(f"the call is {state.status}; it can be retried when it has ended")
        case ChangeRequested():
            return Refused(f"the call is {state.status}; only a call that waits can be changed")
        case Requested():
            return Ignored("the call exists")
        case _ if told.attempt != state.attempt:
            return Ignored("a fact of another attempt")
        case Admitted():
            return Ignored("it has its slot")
        case DialPlaced() | DialUnknown():
            return Ignored("the network will say what became of it, or be asked at the deadline")
        case DialRefused():
            return _never_rang(state, told, terms, now)
        case NetworkReported():
            return _network(state, told, terms, now)
        case AnswerClassified():
            return _answered_by(state, told.answerer, now)
        case ConversationEnded():
            return _concluded(state, told, now)
        case _:
            assert_never(told)


def _overdue(state: Live, told: TimerDue, now: datetime) -> Decision:
    if told.deadline < state.deadline:
        return Ignored("an older deadline")
    if isinstance(state, InProgress) and state.hangup is None:
        return _hang_up(state, Hangup.CONCLUDED if state.disposition else Hangup.TOO_LONG, now)
    if state.checks >= MAX_CHECKS:
        return _give_up(state, now)
    wait = min(FIRST_WAIT * 2**state.checks, MAX_WAIT)
    return SettlementAsked(state=replace(state, checks=state.checks + 1, deadline=now + wait))


def _cancel(state: Live, now: datetime) -> Decision:
    if state.hangup is not None:
        return Refused("the line is being closed already")
    return _hang_up(state, Hangup.CANCELED, now)


def _hang_up(state: Live, reason: Hangup, now: datetime) -> Decision:
    return HangupAsked(state=replace(state, hangup=reason, deadline=now + FIRST_WAIT), reason=reason)


def _answered_by(state: Live, answerer: Answerer, now: datetime) -> Decision:
    if state.hangup is not None:
        return Ignored("the line is being closed already")
    match answerer:
        case Answerer.MACHINE:
            return _hang_up(state, Hangup.VOICEMAIL, now)
        case Answerer.FAX:
            return _hang_up(state, Hangup.FAX, now)
        case Answerer.HUMAN | Answerer.UNKNOWN:
            return Ignored("the conversation goes on")
        case _:
            assert_never(answerer)


def _concluded(state: Live, told: ConversationEnded, now: datetime) -> Decision:
    if state.disposition is not None or state.hangup is not None:
        return Ignored("the conversation is over already")
    heard = now + timedelta(seconds=told.goodbye_seconds) + GOODBYE_MARGIN
    until = min(state.deadline, heard) if isinstance(state, InProgress) else state.deadline
    return Concluded(state=replace(state, disposition=told.disposition, deadline=until))


def _never_rang(state: Live, told: DialRefused, terms: Terms, now: datetime) -> Decision:
    if not isinstance(state, Dialing):
        return Ignored("the network has said that it rang")
    if told.permanent or state.hangup is not None or state.disposition is not None:
        uncounted = replace(state, never_rang=state.never_rang + 1)
        return _close(uncounted, Network.FAILED, terms, now, reason=told.reason, permanent=True)
    return put_off(state, told.reason, terms, now)


def _network(state: Live, told: NetworkReported, terms: Terms, now: datetime) -> Decision:
    match told.status:
        case None:
            lost = state.checks >= UNKNOWN_TO_NETWORK
            return _give_up(state, now) if lost else Ignored("asked again at the next deadline")
        case Network.QUEUED | Network.INITIATED:
            return Ignored("not ringing yet")
        case Network.RINGING:
            return _rang(state, now)
        case Network.IN_PROGRESS:
            return _answered(state, told, terms, now)
        case Network.COMPLETED | Network.BUSY | Network.NO_ANSWER | Network.FAILED | Network.CANCELED:
            return _close(
                state,
                told.status,
                terms,
                now,
                reason=told.reason,
                permanent=told.permanent,
                duration_seconds=told.duration_seconds,
            )
        case _:
            assert_never(told.status)


def _rang(state: Live, now: datetime) -> Decision:
    if not isinstance(state, Dialing):
        return Ignored("it rang before")
    return Moved(
        state=Ringing(
            attempt=state.attempt,
            dialed_at=state.dialed_at,
            deadline=max(state.deadline, now + FIRST_WAIT),
            checks=state.checks,
            hangup=state.hangup,
            disposition=state.disposition,
            never_rang=state.never_rang,
        )
    )


def _answered(state: Live, told: NetworkReported, terms: Terms, now: datetime) -> Decision:
    if isinstance(state, InProgress):
        if told.looked_up and state.hangup is not None:
            return _hang_up(state, state.hangup, now)
        return Ignored("it was answered before")
    until = now + terms.max_talk if state.hangup is None else max(state.deadline, now + FIRST_WAIT)
    return Moved(
        state=InProgress(
            attempt=state.attempt,
            dialed_at=state.dialed_at,
            answered_at=now,
            deadline=until,
            hangup=state.hangup,
            disposition=state.disposition,
            never_rang=state.never_rang,
        )
    )


def _close(
    state: Live,
    status: Network,
    terms: Terms,
    now: datetime,
    *,
    reason: str | None = None,
    permanent: bool = False,
    duration_seconds: int | None = None,
) -> Decision:
    """The attempt is over: the end of the call, or the wait for the next one."""
    name, why = _name_of_end(state, status, reason)
    unreached = name in (Status.BUSY, Status.NO_ANSWER, Status.FAILED) and not isinstance(state, InProgress)
    again = unreached and not permanent and state.hangup is None and state.disposition is None
    if again and dials(state) <= terms.max_retries:
        waiting = Pending(attempt=state.attempt, due_at=now + terms.retry_delay, never_rang=state.never_rang)
        return Moved(state=waiting, reason=why or name, duration_seconds=duration_seconds)
    return Moved(state=_ended(state, name, now), reason=why or name, duration_seconds=duration_seconds)


def _name_of_end(state: Live, status: Network, reason: str | None) -> tuple[Status, str | None]:
    if state.disposition is not None and status is Network.COMPLETED:
        failed = state.disposition == TECHNICAL_FAILURE
        return Status.FAILED if failed else Status.COMPLETED, reason or state.disposition
    match state.hangup:
        case Hangup.CANCELED:
            return Status.CANCELED, "canceled by request"
        case Hangup.VOICEMAIL:
            return Status.VOICEMAIL, "a machine answered"
        case Hangup.FAX:
            return Status.FAILED, "a fax machine answered"
        case Hangup.TOO_LONG:
            return Status.COMPLETED, "the longest call time was reached"
        case Hangup.CONCLUDED | None:
            return Status(status.value), reason
        case _:
            assert_never(state.hangup)


def _give_up(state: Live, now: datetime) -> Decision:
    """Fail closed: the phone may have rung, so this attempt is not repeated."""
    return Moved(state=_ended(state, Status.FAILED, now), reason="outcome unknown: the network cannot say")


def _ended(state: Live, status: Status, now: datetime) -> Ended:
    about = {"attempt": state.attempt, "never_rang": state.never_rang}
    return Ended(status=status, ended_at=now, disposition=state.disposition, **about)
