"""The end of an attempt: the final status of the call, or a retry."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, assert_never

from call_orchestrator.domain import inputs
from call_orchestrator.domain.callbacks import CALLBACK_REASON, WITHDRAWING, wait_for_callback
from call_orchestrator.domain.calling_policy import Forbidden, Permitted
from call_orchestrator.domain.decisions import CallStatusChanged, Decision, Ignored
from call_orchestrator.domain.dial_times import Permission, dial_at
from call_orchestrator.domain.retry_rules import CONTINUABLE, RETRIED_WITHOUT_RULE
from call_orchestrator.domain.states import Ended, InProgress, Live, Pending, Terms, dials
from contracts.vocabulary import (
    OUTCOME_UNKNOWN,
    CallStatus,
    Disposition,
    HangupReason,
    RetryOutcome,
    TelephonyStatus,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known about the end of an attempt beside its status."""

    reason: str | None = None
    is_permanent: bool = False
    duration_seconds: int | None = None

    @classmethod
    def reported(cls, report: inputs.TelephonyStatusReported) -> Self:
        """Returns the outcome that a callback reports."""
        return cls(reason=report.reason, is_permanent=report.is_permanent, duration_seconds=report.duration_seconds)


def end_attempt(state: Live, status: TelephonyStatus, outcome: Outcome, terms: Terms, now: datetime) -> Decision:
    """Returns the end of the call, or the wait for a callback, or for a retry if one remains for its outcome."""
    wait = wait_for_callback(state, terms, now)
    if isinstance(wait, tuple):
        waiting, put_off = wait
        duration_seconds = outcome.duration_seconds
        return CallStatusChanged(
            state=waiting, reason=CALLBACK_REASON, duration_seconds=duration_seconds, permission=put_off
        )
    final_status, reason = _final_status(state, status, outcome.reason)
    retry_outcome = _retry_outcome(state, final_status, outcome, terms, now)
    after: Pending | Ended = _ended(state, final_status, now)
    permission: Permission | None = None
    if retry_outcome and (delay := _retry_delay(state, retry_outcome, terms)) is not None:
        dial_times = terms.dial_times.after_dial(state.dialed_at) if terms.dial_times else None
        due_at, permission = dial_at(dial_times, now + delay)
        if not isinstance(permission, Forbidden):
            after = Pending(
                attempt=state.attempt,
                due_at=due_at,
                undialled_attempts=state.undialled_attempts,
                retries=_counted(state, retry_outcome, terms),
                callbacks=state.callbacks,
            )
    if retry_outcome is RetryOutcome.HUNG_UP_EARLY:
        reason = "the callee hung up early"
    elif retry_outcome is RetryOutcome.GOAL_MISSED:
        reason = f"the goal {terms.goal} was not reached: {state.disposition}"
    return CallStatusChanged(
        state=after,
        reason=(wait if isinstance(after, Ended) else None) or reason or final_status,
        duration_seconds=outcome.duration_seconds,
        permission=None if isinstance(permission, Permitted) else permission,
    )


def conclude_after_hangup(state: Pending, ending: inputs.ConversationEnded, now: datetime) -> Decision:
    """Ends a call that waits for a retry after an early hang-up, if its conversation had a result after all.

    The model may find the disposition, such as an opt-out, after the network has reported the hang-up (law 9). A call
    that waits because its callee asked for it is ended only if the callee does not want it any more.
    """
    waits_for_result = RetryOutcome.HUNG_UP_EARLY in state.retries or state.callback is not None
    if ending.attempt != state.attempt or not waits_for_result:
        return Ignored("no attempt is in progress")
    if state.callback is not None and ending.disposition not in WITHDRAWING:
        return Ignored("the callee asked to be called again")
    is_failed = ending.disposition is Disposition.TECHNICAL_FAILURE
    ended = Ended(
        status=CallStatus.FAILED if is_failed else CallStatus.COMPLETED,
        attempt=state.attempt,
        ended_at=now,
        disposition=ending.disposition,
        undialled_attempts=state.undialled_attempts,
        retries=state.retries,
        callbacks=state.callbacks,
    )
    return CallStatusChanged(state=ended, reason=ending.disposition)


def _retry_outcome(
    state: Live, final_status: CallStatus, outcome: Outcome, terms: Terms, now: datetime
) -> RetryOutcome | None:
    """Returns the outcome whose rule determines whether the call is dialled again; None: it is not."""
    if outcome.is_permanent:
        return None
    if state.disposition is not None:
        return RetryOutcome.GOAL_MISSED if _is_goal_missed(state, terms) else None
    if state.hangup_reason is not None:
        return RetryOutcome.VOICEMAIL if state.hangup_reason is HangupReason.VOICEMAIL else None
    if state.message is not None:
        return RetryOutcome.VOICEMAIL
    match final_status:
        case CallStatus.BUSY | CallStatus.NO_ANSWER | CallStatus.FAILED:
            return None if isinstance(state, InProgress) else RetryOutcome(final_status.value)
        case CallStatus.COMPLETED if RetryOutcome.HUNG_UP_EARLY in terms.retry_rules:
            talk = _talk_time(state, outcome, now)
            return RetryOutcome.HUNG_UP_EARLY if talk is not None and talk <= terms.early_hangup else None
        case _:
            return None


def _is_goal_missed(state: Live, terms: Terms) -> bool:
    """Whether the conversation ended without the goal of the campaign, in a way after which a call may continue."""
    is_over = state.hangup_reason in (None, HangupReason.CONCLUDED)
    return is_over and terms.goal not in (None, state.disposition) and state.disposition in CONTINUABLE


def _talk_time(state: Live, outcome: Outcome, now: datetime) -> timedelta | None:
    if outcome.duration_seconds is not None:
        return timedelta(seconds=outcome.duration_seconds)
    return now - state.answered_at if isinstance(state, InProgress) else None


def _retry_delay(state: Live, outcome: RetryOutcome, terms: Terms) -> timedelta | None:
    """Returns the delay of the next retry; None if no retry remains, or if its campaign is finished."""
    if terms.is_campaign_finished or dials(state) > terms.max_retries:
        return None
    if rule := terms.retry_rules.get(outcome):
        return rule.next_delay(state.retries.get(outcome, 0))
    return terms.retry_delay if outcome in RETRIED_WITHOUT_RULE else None


def _counted(state: Live, outcome: RetryOutcome, terms: Terms) -> Mapping[str, int]:
    """Returns the counts after one more retry. An outcome without a rule is not counted."""
    if outcome not in terms.retry_rules:
        return state.retries
    return {**state.retries, outcome.value: state.retries.get(outcome, 0) + 1}


def _final_status(state: Live, status: TelephonyStatus, reason: str | None) -> tuple[CallStatus, str | None]:
    """Returns the status of the call at the end of an attempt, and its reason.

    The first that applies determines them: the disposition (if the network reports ``completed``), the reason of our
    hang-up or that a machine answered, the network's status.
    """
    if state.disposition is not None and status is TelephonyStatus.COMPLETED:
        is_failed = state.disposition is Disposition.TECHNICAL_FAILURE
        return CallStatus.FAILED if is_failed else CallStatus.COMPLETED, reason or state.disposition
    match state.hangup_reason:
        case HangupReason.CANCELED:
            return CallStatus.CANCELED, "canceled by request"
        case HangupReason.VOICEMAIL:
            return CallStatus.VOICEMAIL, "a machine answered"
        case HangupReason.FAX:
            return CallStatus.FAILED, "a fax machine answered"
        case HangupReason.TOO_LONG:
            return CallStatus.COMPLETED, "the longest call time was reached"
        case None if state.message is not None:
            return CallStatus.VOICEMAIL, "a machine answered"
        case HangupReason.CONCLUDED | None:
            return CallStatus(status.value), reason
        case _:
            assert_never(state.hangup_reason)


def fail_as_unknown(state: Live, now: datetime) -> Decision:
    """Ends the call without a retry: the phone may have rung (law 9)."""
    return CallStatusChanged(state=_ended(state, CallStatus.FAILED, now), reason=OUTCOME_UNKNOWN)


def _ended(state: Live, status: CallStatus, now: datetime) -> Ended:
    return Ended(
        status=status,
        attempt=state.attempt,
        ended_at=now,
        disposition=state.disposition,
        undialled_attempts=state.undialled_attempts,
        retries=state.retries,
        callbacks=state.callbacks,
    )
