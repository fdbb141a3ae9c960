"""The rules for an attempt in progress: what follows from the network, the conversation, commands and deadlines."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from call_orchestrator.domain import inputs
from call_orchestrator.domain.callbacks import note_callback
from call_orchestrator.domain.decisions import (
    CallChanged,
    CallConcluded,
    CallSettlementRequested,
    CallStatusChanged,
    Decision,
    Ignored,
    Refused,
)
from call_orchestrator.domain.hangups import FIRST_WAIT, hang_up
from call_orchestrator.domain.messages import follow_message, meet_machine, recognize_person
from call_orchestrator.domain.outcomes import Outcome, end_attempt, fail_as_unknown
from call_orchestrator.domain.pauses import Pauses
from call_orchestrator.domain.states import Dialing, InProgress, Live, Ringing, Terms
from call_orchestrator.domain.timers import outdated_or_early
from call_orchestrator.domain.transfers import answer_transfer, end_transfer, start_transfer
from call_orchestrator.domain.undialled import put_off
from contracts.vocabulary import AnsweredBy, Disposition, HangupReason, TelephonyStatus

MAX_WAIT = timedelta(hours=1)
MAX_CHECKS_UNKNOWN = 3
"""After this many questions, an attempt that the provider does not know fails and is not dialled again (law 9)."""
MAX_CHECKS = 12
"""After this many questions (about five hours) without a final answer, the outcome counts as unknown."""
GOODBYE_MARGIN = timedelta(seconds=4)


def decide_live(state: Live, input: inputs.Input, terms: Terms, now: datetime, pauses: Pauses) -> Decision:
    """Returns what follows from an input while an attempt is in progress."""
    match input:
        case inputs.TimerDue():
            return _pass_deadline(state, input, now)
        case inputs.CallCancelRequested():
            return _cancel(state, now)
        case inputs.CallRetryRequested():
            return Refused(f"the call is {state.status}; it can be retried when it has ended")
        case inputs.CallChangeRequested():
            if input.is_metadata_only:
                return CallChanged(state=state)
            return Refused(f"the call is {state.status}; only its metadata can be changed until it ends")
        case inputs.CallRequested():
            return Ignored("the call exists")
        case _ if input.attempt != state.attempt:
            return Ignored("an event of another attempt")
        case inputs.AdmissionGranted():
            return Ignored("the attempt has its slot")
        case inputs.DialRefused():
            return _refuse(state, input, terms, now, pauses)
        case inputs.TelephonyStatusReported():
            return _follow(state, input.status, Outcome.reported(input), terms, now)
        case inputs.DialLookedUp():
            return _settle(state, input, terms, now)
        case inputs.AnswerClassified():
            return _classify(state, input, terms, now)
        case inputs.MessageReported():
            return follow_message(state, input, now)
        case inputs.PersonRecognized():
            return recognize_person(state, terms)
        case inputs.TransferStarted() | inputs.TransferAnswered() | inputs.TransferEnded():
            return _follow_transfer(state, input, terms, now)
        case inputs.ConversationEnded():
            return _conclude(state, input, terms, now)
        case inputs.OptOutKeyPressed():
            return _opt_out(state, input, terms, now)
        case inputs.CallbackScheduled():
            return note_callback(state, input, terms)
        case _:
            assert_never(input)


def _follow_transfer(state: Live, input: inputs.TransferInput, terms: Terms, now: datetime) -> Decision:
    match input:
        case inputs.TransferStarted():
            return start_transfer(state, input, now)
        case inputs.TransferAnswered():
            return answer_transfer(state, input, now)
        case inputs.TransferEnded():
            return end_transfer(state, input, terms, now)
        case _:
            assert_never(input)


def _pass_deadline(state: Live, timer: inputs.TimerDue, now: datetime) -> Decision:
    if ignored := outdated_or_early(timer, state.deadline_at, now):
        return ignored
    if state.hangup_reason is None and (isinstance(state, InProgress) or state.disposition is not None):
        return hang_up(state, _reason_at_deadline(state), now)
    if state.settlement_checks >= MAX_CHECKS:
        return fail_as_unknown(state, now)
    wait = min(FIRST_WAIT * 2**state.settlement_checks, MAX_WAIT)
    checks = state.settlement_checks + 1
    return CallSettlementRequested(state=replace(state, settlement_checks=checks, deadline_at=now + wait))


def _reason_at_deadline(state: Live) -> HangupReason:
    if state.message is not None:
        return HangupReason.VOICEMAIL
    return HangupReason.CONCLUDED if state.disposition else HangupReason.TOO_LONG


def _cancel(state: Live, now: datetime) -> Decision:
    if state.hangup_reason is not None:
        return Refused("the line is being closed already")
    return hang_up(state, HangupReason.CANCELED, now)


def _classify(state: Live, verdict: inputs.AnswerClassified, terms: Terms, now: datetime) -> Decision:
    if state.hangup_reason is not None:
        return Ignored("the line is being closed already")
    if state.is_transferring:
        return Ignored("the callee is being transferred")
    match verdict.answered_by:
        case AnsweredBy.MACHINE:
            return meet_machine(state, is_after_beep=verdict.is_after_beep, terms=terms, now=now)
        case AnsweredBy.FAX:
            return hang_up(state, HangupReason.FAX, now)
        case AnsweredBy.HUMAN | AnsweredBy.UNKNOWN:
            return Ignored("the conversation goes on")
        case _:
            assert_never(verdict.answered_by)


def _conclude(state: Live, ending: inputs.ConversationEnded, terms: Terms, now: datetime) -> Decision:
    """Decides the end of the conversation: the line is closed after the goodbye, even if no answer was reported yet."""
    if state.disposition is not None or state.hangup_reason is not None:
        return Ignored("the conversation is over already")
    if state.message is not None:
        return Ignored("a machine answered")
    return _concluded(state, ending, terms, now)


def _opt_out(state: Live, pressed: inputs.OptOutKeyPressed, terms: Terms, now: datetime) -> Decision:
    """Decides that the callee wants no more calls, also if detection took the callee for a machine.

    It replaces another disposition: the callee may press the key during the goodbye.
    """
    if state.hangup_reason is not None or state.disposition is Disposition.OPT_OUT:
        return Ignored("the conversation is over already")
    return _concluded(replace(state, message=None), pressed.ending, terms, now)


def _concluded(state: Live, ending: inputs.ConversationEnded, terms: Terms, now: datetime) -> CallConcluded:
    goodbye_ends_at = now + timedelta(seconds=ending.goodbye_seconds) + GOODBYE_MARGIN
    has_own_deadline = isinstance(state, InProgress) and state.disposition is None
    talk_ends_at = state.deadline_at if has_own_deadline else now + terms.max_talk
    deadline_at = min(talk_ends_at, goodbye_ends_at)
    return CallConcluded(state=replace(state, disposition=ending.disposition, deadline_at=deadline_at))


def _refuse(state: Live, refusal: inputs.DialRefused, terms: Terms, now: datetime, pauses: Pauses) -> Decision:
    if not isinstance(state, Dialing):
        return Ignored("the network has reported that it rang")
    if refusal.is_permanent or state.hangup_reason is not None or state.disposition is not None:
        undialled = replace(state, undialled_attempts=state.undialled_attempts + 1)
        outcome = Outcome(reason=refusal.reason, is_permanent=True)
        return end_attempt(undialled, TelephonyStatus.FAILED, outcome, terms, now)
    return put_off(state, refusal.reason, terms, now, pauses)


def _settle(state: Live, answer: inputs.DialLookedUp, terms: Terms, now: datetime) -> Decision:
    """Returns what follows from the provider's answer. A hang-up that was not carried out is requested again."""
    if answer.status is None:
        is_lost = state.settlement_checks >= MAX_CHECKS_UNKNOWN
        return fail_as_unknown(state, now) if is_lost else Ignored("the provider is asked again at the next deadline")
    is_open = answer.status is TelephonyStatus.IN_PROGRESS and isinstance(state, InProgress)
    if is_open and state.hangup_reason is not None:
        return hang_up(state, state.hangup_reason, now)
    return _follow(state, answer.status, Outcome(duration_seconds=answer.duration_seconds), terms, now)


def _follow(state: Live, status: TelephonyStatus, outcome: Outcome, terms: Terms, now: datetime) -> Decision:
    match status:
        case TelephonyStatus.QUEUED | TelephonyStatus.INITIATED:
            return Ignored("not ringing yet")
        case TelephonyStatus.RINGING:
            return _ring(state, now)
        case TelephonyStatus.IN_PROGRESS:
            return _answer(state, terms, now)
        case (
            TelephonyStatus.COMPLETED
            | TelephonyStatus.BUSY
            | TelephonyStatus.NO_ANSWER
            | TelephonyStatus.FAILED
            | TelephonyStatus.CANCELED
        ):
            return end_attempt(state, status, outcome, terms, now)
        case _:
            assert_never(status)


def _ring(state: Live, now: datetime) -> Decision:
    if not isinstance(state, Dialing):
        return Ignored("it rang before")
    return CallStatusChanged(
        state=Ringing(
            attempt=state.attempt,
            dialed_at=state.dialed_at,
            deadline_at=state.deadline_at if _has_own_deadline(state) else max(state.deadline_at, now + FIRST_WAIT),
            settlement_checks=state.settlement_checks,
            hangup_reason=state.hangup_reason,
            disposition=state.disposition,
            message=state.message,
            transfer_turn=state.transfer_turn,
            is_transferring=state.is_transferring,
            undialled_attempts=state.undialled_attempts,
            retries=state.retries,
            callback=state.callback,
            callbacks=state.callbacks,
        )
    )


def _answer(state: Live, terms: Terms, now: datetime) -> Decision:
    if isinstance(state, InProgress):
        return Ignored("it was answered before")
    deadline_at = now + terms.max_talk
    if state.hangup_reason is not None:
        deadline_at = max(state.deadline_at, now + FIRST_WAIT)
    elif _has_own_deadline(state):
        deadline_at = state.deadline_at
    return CallStatusChanged(
        state=InProgress(
            attempt=state.attempt,
            dialed_at=state.dialed_at,
            answered_at=now,
            deadline_at=deadline_at,
            hangup_reason=state.hangup_reason,
            disposition=state.disposition,
            message=state.message,
            transfer_turn=state.transfer_turn,
            is_transferring=state.is_transferring,
            undialled_attempts=state.undialled_attempts,
            retries=state.retries,
            callback=state.callback,
            callbacks=state.callbacks,
        )
    )


def _has_own_deadline(state: Live) -> bool:
    """Whether the line is to be closed at the deadline: after the goodbye, the message to a machine, or a transfer."""
    is_set = state.disposition is not None or state.message is not None or state.is_transferring
    return is_set and state.hangup_reason is None
