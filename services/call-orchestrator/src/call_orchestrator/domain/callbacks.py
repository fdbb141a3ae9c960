"""Callbacks: a callee asks in the conversation to be called at another time.

The call is then dialled once more, as a further attempt: at the instant that the callee asked for, or the first one
after it at which the calling policy permits a dial. It waits for that instant as it waits for a scheduled time, so
pauses, the period of the campaign, do-not-call lists, erasures, cancels and changes concern it as any call that waits.

A live call keeps the instant until its attempt ends. The request may also be decided after the report that the line is
closed, because callees hang up once they have said it. So a completed call may wait again. No other final status
is left by a request: the call was canceled, or has failed.

A callback is the wish of the callee, so `max_retries` does not limit it. What the campaign permits does: the number of
dials in all, and those within 24 hours. `MAX_CALLBACKS` limits it, too, so that every call ends (law 5).
"""

from dataclasses import replace
from datetime import datetime

from call_orchestrator.domain import inputs
from call_orchestrator.domain.calling_policy import Forbidden, PutOff
from call_orchestrator.domain.decisions import CallCallbackNoted, CallStatusChanged, Decision, Ignored
from call_orchestrator.domain.dial_times import Permission, dial_at
from call_orchestrator.domain.states import Callback, Ended, Live, Pending, State, Terms, dials
from contracts.vocabulary import CallStatus, Disposition, HangupReason

CALLBACK_REASON = "the callee asked to be called again"
"""The reason of a call that waits for a callback."""
NOT_CALLED_BACK = "the callee asked to be called again, which is not possible"
MAX_CALLBACKS = 5
"""How often a call may wait because its callee asked for it."""
WITHDRAWING = frozenset({Disposition.OPT_OUT, Disposition.DECLINED})
"""The dispositions after which a person is not called again, also if they asked for it before."""
_CLOSED_BY_US = frozenset({HangupReason.CANCELED, HangupReason.VOICEMAIL, HangupReason.FAX})
"""The hang-ups after which no callee is called back: no person spoke, or the call was canceled."""


def callback_refusal(state: State, terms: Terms) -> str | None:
    """Returns why the call is not dialled once more for its callee, whenever that would be."""
    if terms.is_campaign_finished:
        return "its campaign is finished"
    if state.callbacks >= MAX_CALLBACKS:
        return f"the person was called back {state.callbacks} times; {MAX_CALLBACKS} is the maximum"
    if terms.max_attempts is not None and dials(state) >= terms.max_attempts:
        return f"dialled {dials(state)} times; the campaign permits {terms.max_attempts} attempts in all"
    return None


def callback_at(at: datetime, terms: Terms, dialed_at: datetime | None) -> tuple[datetime, Permission | None]:
    """Returns the first permitted instant that is not before `at`, and what the calling policy said.

    `dialed_at`: when the attempt of the conversation dialled; None: it is counted already.
    """
    times = terms.dial_times
    return dial_at(times.after_dial(dialed_at) if times and dialed_at else times, at)


def note_callback(state: Live, request: inputs.CallbackScheduled, terms: Terms) -> Decision:
    """Decides a request while the line is open: the call keeps it until its attempt ends."""
    if state.message is not None:
        return Ignored("a machine answered")
    if refusal := _refusal_of_end(state.hangup_reason, state.disposition) or callback_refusal(state, terms):
        return Ignored(refusal)
    if state.callback is not None and state.callback.number >= request.number:
        return Ignored("this callback, or a later one, is noted")
    return CallCallbackNoted(state=replace(state, callback=Callback(at=request.at, number=request.number)))


def wait_for_callback(state: Live, terms: Terms, now: datetime) -> tuple[Pending, Permission | None] | str | None:
    """Returns the wait for the callback after the end of the attempt; None: there is none.

    If it is not possible any more, returns why, for the reason of the call: the person was told of it.
    """
    if state.callback is None or state.message is not None:
        return None
    if _refusal_of_end(state.hangup_reason, state.disposition):
        return None
    if refusal := callback_refusal(state, terms):
        return f"{NOT_CALLED_BACK}: {refusal}"
    wait = _wait(state, state.callback, terms, now, dialed_at=state.dialed_at)
    return wait or f"{NOT_CALLED_BACK}: the calling policy does not permit it"


def replace_wait(state: Pending, request: inputs.CallbackScheduled, terms: Terms, now: datetime) -> Decision:
    """Decides a request that arrives while the call waits for its next attempt."""
    if request.attempt != state.attempt:
        return Ignored("a callback of another attempt")
    if state.callback is not None and state.callback.number >= request.number:
        return Ignored("this callback, or a later one, is noted")
    is_first = state.callback is None
    if is_first and (refusal := callback_refusal(state, terms)):
        return Ignored(refusal)
    wait = _wait(state, Callback(at=request.at, number=request.number), terms, now, is_counted=not is_first)
    if wait is None:
        return Ignored("the calling policy does not permit the callback")
    waiting, permission = wait
    return CallCallbackNoted(state=waiting, permission=permission)


def wait_again(state: Ended, request: inputs.CallbackScheduled, terms: Terms, now: datetime) -> Decision:
    """Decides a request that arrives after the end of the call: the callee hung up as soon as it was said."""
    if request.attempt != state.attempt or state.status is not CallStatus.COMPLETED:
        return Ignored("the call has ended")
    if refusal := _refusal_of_end(None, state.disposition) or callback_refusal(state, terms):
        return Ignored(refusal)
    wait = _wait(state, Callback(at=request.at, number=request.number), terms, now)
    if wait is None:
        return Ignored("the calling policy does not permit the callback")
    waiting, permission = wait
    return CallStatusChanged(state=waiting, reason=CALLBACK_REASON, permission=permission)


def _refusal_of_end(hangup_reason: HangupReason | None, disposition: Disposition | None) -> str | None:
    """Returns why the end of the conversation makes the callback void."""
    if hangup_reason in _CLOSED_BY_US:
        return f"the line is closed: {hangup_reason}"
    return f"the person is not called again: {disposition}" if disposition in WITHDRAWING else None


def _wait(
    state: Live | Pending | Ended,
    callback: Callback,
    terms: Terms,
    now: datetime,
    *,
    dialed_at: datetime | None = None,
    is_counted: bool = False,
) -> tuple[Pending, Permission | None] | None:
    due_at, permission = callback_at(max(callback.at, now), terms, dialed_at)
    if isinstance(permission, Forbidden):
        return None
    waiting = Pending(
        attempt=state.attempt,
        due_at=due_at,
        undialled_attempts=state.undialled_attempts,
        retries=state.retries,
        callback=callback,
        callbacks=state.callbacks + (not is_counted),
    )
    return waiting, permission if isinstance(permission, PutOff) else None
