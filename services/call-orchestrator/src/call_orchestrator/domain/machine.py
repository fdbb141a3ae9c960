"""The state machine of a call: ``decide(state, input) -> event | nothing`` and ``evolve(state, event) -> state``.

An event carries the state after it, so `evolve` only returns that state: folding a log does not depend on the rules.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from call_orchestrator.domain import inputs
from call_orchestrator.domain.attempts import decide_live
from call_orchestrator.domain.callbacks import replace_wait, wait_again
from call_orchestrator.domain.calling_policy import Forbidden, PutOff
from call_orchestrator.domain.decisions import (
    CallCallbackNoted,
    CallChanged,
    CallCreated,
    CallDue,
    CallPutOff,
    CallStatusChanged,
    Decision,
    Event,
    Ignored,
    Refused,
)
from call_orchestrator.domain.dial_times import dial_at, not_permitted
from call_orchestrator.domain.inputs import Input
from call_orchestrator.domain.outcomes import conclude_after_hangup
from call_orchestrator.domain.pauses import NO_PAUSES, Pauses
from call_orchestrator.domain.states import Dialing, Ended, InProgress, Pending, Ringing, State, Terms, dials
from call_orchestrator.domain.timers import outdated_or_early
from call_orchestrator.domain.undialled import expiry_reason
from contracts.vocabulary import CAMPAIGN_FINISHED, RETRYABLE_STATUSES, CallStatus, RefusalCode

ANSWER_MARGIN = timedelta(seconds=20)
"""How long after the ring time the network may take to report the outcome before a settlement is requested."""


def create(request: inputs.CallRequested, terms: Terms, now: datetime) -> CallCreated | Refused:
    """Returns the first event of a call, or why it is never dialled.

    A call without a scheduled time, or with a past one, is due at the next instant at which it may be dialled.
    """
    due_at, permission = dial_at(terms.dial_times, max(request.scheduled_at or now, now))
    if isinstance(permission, Forbidden):
        return Refused(not_permitted(permission), permission=permission)
    state = Pending(attempt=0, due_at=due_at)
    return CallCreated(
        state=_queued_if_due(state, terms, now), permission=permission if isinstance(permission, PutOff) else None
    )


def decide(state: State, input: Input, terms: Terms, now: datetime, pauses: Pauses = NO_PAUSES) -> Decision:
    """Returns what follows from an input. Pure: the same arguments give the same decision.

    `pauses`, those of the campaign, are needed only if the call would expire without them.

    A call that waits after the decision and is due is queued at once: it needs no timer and no further decision.
    """
    decision = _decide(state, input, terms, now, pauses)
    if isinstance(decision, CallChanged | CallStatusChanged | CallCallbackNoted) and isinstance(
        decision.state, Pending
    ):
        return replace(decision, state=_queued_if_due(decision.state, terms, now))
    return decision


def _decide(state: State, input: Input, terms: Terms, now: datetime, pauses: Pauses) -> Decision:
    match state:
        case Pending():
            return _decide_pending(state, input, terms, now, pauses)
        case Dialing() | Ringing() | InProgress():
            return decide_live(state, input, terms, now, pauses)
        case Ended():
            return _decide_ended(state, input, terms, now)
        case _:
            assert_never(state)


def evolve(_: State | None, event: Event) -> State:
    """Returns the state after an event."""
    return event.state


def _decide_pending(state: Pending, input: Input, terms: Terms, now: datetime, pauses: Pauses) -> Decision:
    match input:
        case inputs.TimerDue():
            return _queue_or_expire(state, input, terms, now, pauses)
        case inputs.AdmissionGranted():
            return _begin_attempt(state, input, terms, now, pauses)
        case inputs.CallCancelRequested():
            return CallStatusChanged(state=_end(CallStatus.CANCELED, state, now), reason="canceled by request")
        case inputs.CallRetryRequested():
            return Refused("the call is waiting to be dialled; initiate it to dial now")
        case inputs.CallChangeRequested():
            return _change(state, input, terms, now)
        case inputs.CallRequested():
            return Ignored("the call exists")
        case inputs.ConversationEnded():
            return conclude_after_hangup(state, input, now)
        case inputs.OptOutKeyPressed():
            return conclude_after_hangup(state, input.ending, now)
        case inputs.CallbackScheduled():
            return replace_wait(state, input, terms, now)
        case (
            inputs.DialRefused()
            | inputs.DialLookedUp()
            | inputs.TelephonyStatusReported()
            | inputs.AnswerClassified()
            | inputs.MessageReported()
            | inputs.PersonRecognized()
            | inputs.TransferStarted()
            | inputs.TransferAnswered()
            | inputs.TransferEnded()
        ):
            return Ignored("no attempt is in progress")
        case _:
            assert_never(input)


def _queue_or_expire(state: Pending, timer: inputs.TimerDue, terms: Terms, now: datetime, pauses: Pauses) -> Decision:
    if timer.is_campaign_finished and timer.deadline_at == state.deadline_at:
        return _end_with_campaign(state, now)
    is_woken = timer.is_number_free and timer.deadline_at == state.due_at and state.queue_expires_at is None
    if not is_woken and (ignored := outdated_or_early(timer, state.deadline_at, now)):
        return ignored
    if is_woken:
        state = _woken(state, now)
    if terms.is_campaign_finished:
        return _end_with_campaign(state, now)
    waits_since, expires_at = _wait(state, terms)
    extended_at = pauses.extended(expires_at, waits_since=waits_since, now=now)
    if state.queue_expires_at is None:
        if now > extended_at and pauses.paused_since(now) is None:
            return _expire(state, now)
        return CallDue(state=replace(state, queue_expires_at=expires_at))
    timer_at = pauses.recheck_at(extended_at, waits_since=waits_since, now=now)
    if timer_at and pauses.periods:
        return Ignored("a pause has given the call more time", timer_at=timer_at)
    return _expire(state, now)


def _woken(state: Pending, now: datetime) -> Pending:
    """Returns the wait of a call that is due earlier than planned. The time that it need not wait prolongs nothing."""
    saved = max(state.due_at - now, timedelta())
    expires_at = state.dial_expires_at and state.dial_expires_at - saved
    return replace(state, due_at=state.due_at - saved, dial_expires_at=expires_at)


def _queued_if_due(state: Pending, terms: Terms, now: datetime) -> Pending:
    """Returns the state, waiting for a slot if its due time has come."""
    if state.queue_expires_at is not None or state.due_at > now:
        return state
    _, expires_at = _wait(state, terms)
    return replace(state, queue_expires_at=expires_at)


def _wait(state: Pending, terms: Terms) -> tuple[datetime, datetime]:
    """Returns since when and until when the call may be dialled. All attempts at one dial share both."""
    if state.dial_expires_at:
        return state.dial_expires_at - terms.dial_within, state.dial_expires_at
    return state.due_at, state.queue_expires_at or state.due_at + terms.dial_within


def _begin_attempt(
    state: Pending, grant: inputs.AdmissionGranted, terms: Terms, now: datetime, pauses: Pauses
) -> Decision:
    if state.queue_expires_at is None or grant.attempt != state.attempt + 1:
        return Ignored("the call waits for no slot, or for the slot of another attempt")
    if terms.is_campaign_finished:
        return _end_with_campaign(state, now)
    waits_since, expires_at = _wait(state, terms)
    if now > pauses.extended(expires_at, waits_since=waits_since, now=now):
        return _expire(state, now)
    if terms.is_campaign_closed:
        return CallDue(state=state)
    until, permission = dial_at(terms.dial_times, now)
    if isinstance(permission, PutOff):
        return CallPutOff(state=_put_off(state, until, expires_at, now), permission=permission)
    if isinstance(permission, Forbidden):
        ended = _end(CallStatus.FAILED, state, now)
        return CallStatusChanged(state=ended, reason=not_permitted(permission), permission=permission)
    return CallStatusChanged(
        permission=permission,
        state=Dialing(
            attempt=grant.attempt,
            dialed_at=now,
            deadline_at=now + terms.ring_time + ANSWER_MARGIN,
            undialled_attempts=state.undialled_attempts,
            undialled_in_a_row=state.undialled_in_a_row,
            dial_expires_at=state.queue_expires_at,
            retries=state.retries,
            callbacks=state.callbacks,
        ),
    )


def _put_off(state: Pending, until: datetime, expires_at: datetime, now: datetime) -> Pending:
    """Returns the wait until the next permitted time. Hours that the policy closes use up no `dial_within`."""
    return replace(state, due_at=until, queue_expires_at=None, dial_expires_at=expires_at + (until - now))


def _expire(state: Pending, now: datetime) -> Decision:
    return CallStatusChanged(state=_end(CallStatus.EXPIRED, state, now), reason=expiry_reason(state.reason))


def _end_with_campaign(state: Pending, now: datetime) -> Decision:
    return CallStatusChanged(state=_end(CallStatus.EXPIRED, state, now), reason=CAMPAIGN_FINISHED)


def _change(state: Pending, request: inputs.CallChangeRequested, terms: Terms, now: datetime) -> Decision:
    """Decides a change of a waiting call. Unless only metadata changes, its wait begins again.

    A call that is due and stays due keeps its due time, and with it its turn. Earlier undialled attempts no longer
    limit when it may be dialled: all of `dial_within` is available again.
    """
    if request.is_metadata_only:
        return CallChanged(state=state)
    if state.attempt and request.changes_terms:
        return Refused("there was an attempt to dial it; only its time and its metadata can still be changed")
    wanted_at = state.due_at if request.scheduled_at is None else max(request.scheduled_at, now)
    due_at = min(wanted_at, state.due_at) if wanted_at <= now else wanted_at
    permitted_at, permission = dial_at(terms.dial_times, max(due_at, now))
    if isinstance(permission, Forbidden):
        return Refused(not_permitted(permission), permission=permission)
    is_put_off = isinstance(permission, PutOff)
    waiting = Pending(
        attempt=state.attempt,
        due_at=permitted_at if is_put_off else due_at,
        undialled_attempts=state.undialled_attempts,
        retries=state.retries,
        callback=state.callback,
        callbacks=state.callbacks,
    )
    return CallChanged(state=waiting, permission=permission if is_put_off else None)


def _decide_ended(state: Ended, input: Input, terms: Terms, now: datetime) -> Decision:
    match input:
        case inputs.CallRetryRequested():
            return _retry(state, terms, now)
        case inputs.CallCancelRequested() | inputs.CallChangeRequested():
            return Refused(f"the call has ended: {state.status}")
        case inputs.CallRequested():
            return Ignored("the call exists")
        case inputs.CallbackScheduled():
            return wait_again(state, input, terms, now)
        case (
            inputs.TimerDue()
            | inputs.AdmissionGranted()
            | inputs.DialRefused()
            | inputs.DialLookedUp()
            | inputs.TelephonyStatusReported()
            | inputs.AnswerClassified()
            | inputs.MessageReported()
            | inputs.PersonRecognized()
            | inputs.TransferStarted()
            | inputs.TransferAnswered()
            | inputs.TransferEnded()
            | inputs.OptOutKeyPressed()
            | inputs.ConversationEnded()
        ):
            return Ignored("the call has ended")
        case _:
            assert_never(input)


def _retry(state: Ended, terms: Terms, now: datetime) -> Decision:
    if state.status not in RETRYABLE_STATUSES:
        return Refused(f"a call that is {state.status} is not dialled again")
    if terms.is_campaign_finished:
        return Refused("campaign_id: the campaign is finished, and its calls are not dialled; create another one")
    if dials(state) > terms.max_retries:
        reason = f"max_retries: dialled {dials(state)} times, max_retries is {terms.max_retries}"
        return Refused(reason, RefusalCode.RETRIES_EXHAUSTED)
    due_at, permission = dial_at(terms.dial_times, now)
    if isinstance(permission, Forbidden):
        return Refused(not_permitted(permission), permission=permission)
    waiting = Pending(
        attempt=state.attempt,
        due_at=due_at,
        undialled_attempts=state.undialled_attempts,
        retries=state.retries,
        callbacks=state.callbacks,
    )
    permission = permission if isinstance(permission, PutOff) else None
    return CallStatusChanged(state=waiting, reason="retry requested", permission=permission)


def _end(status: CallStatus, state: Pending, now: datetime) -> Ended:
    return Ended(
        status=status,
        attempt=state.attempt,
        ended_at=now,
        undialled_attempts=state.undialled_attempts,
        retries=state.retries,
        callbacks=state.callbacks,
    )
