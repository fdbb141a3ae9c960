"""What became of a call, from its events: the stage that it reached, the reason of its end, and when it ended.

Pure. Stage and reason are fields of the call's document, so counters of them follow corrections: a machine that was
taken for a person, an attempt that turns out not to have reached the network. Outcomes over time are counted at the
event that makes them, and never taken back. Both are functions of the log alone, in batches of any size.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum

from pydantic import BaseModel, ConfigDict

from contracts import (
    Call,
    CallDecision,
    CallStatus,
    CallStatusChanged,
    Disposition,
    HangupReason,
    ReplyGenerated,
    ReplySource,
)
from contracts.outcomes import LISTED_BY, EndReason
from contracts.vocabulary import CAMPAIGN_FINISHED, LIVE_STATUSES, OUTCOME_UNKNOWN


class Stage(IntEnum):
    """How far a call came. Each stage includes those before it."""

    REQUESTED = 0
    DIALLED = 1
    RANG = 2
    ANSWERED = 3
    PERSON = 4
    GOAL = 5


FUNNEL: Mapping[Stage, str] = {stage: f"funnel_{stage.name.lower()}" for stage in Stage if stage}
"""The counter of each stage."""
UNDIALLED_ATTEMPTS = "undialled_attempts"
OF_FUNNEL = (*FUNNEL.values(), UNDIALLED_ATTEMPTS)
"""The counters of a campaign with a call of this build or a later one."""
OF_REASONS = tuple(f"reason_{reason}" for reason in EndReason)
"""The counters of a campaign of which a call has ended."""

_LEAST_STAGES = {
    CallStatus.DIALING: Stage.DIALLED.value,
    CallStatus.BUSY: Stage.DIALLED.value,
    CallStatus.RINGING: Stage.RANG.value,
    CallStatus.NO_ANSWER: Stage.RANG.value,
    CallStatus.IN_PROGRESS: Stage.ANSWERED.value,
    CallStatus.COMPLETED: Stage.ANSWERED.value,
    CallStatus.VOICEMAIL: Stage.ANSWERED.value,
}
_OF_PERSONS = frozenset(Disposition) - {
    Disposition.ANSWERED,
    Disposition.UNRESPONSIVE,
    Disposition.TECHNICAL_FAILURE,
}
"""The dispositions that only a person causes."""
_NO_SPEECH = (ReplySource.STOCK_PHRASE, ReplySource.SCREENING_ANSWER)
"""Replies to silence, and to an assistant that screens calls."""
_RULES = {
    **{rule: EndReason(rule) for rule in ("do_not_call", "erased", "unknown_country", "unknown_zone")},
    "no_permitted_time": EndReason.NO_PERMITTED_TIME,
    "consent": EndReason.NO_CONSENT,
    "disclosure": EndReason.NO_DISCLOSURE,
    "local_caller_id": EndReason.NO_LOCAL_CALLER_ID,
}
_BY_DISPOSITION: Mapping[tuple[CallStatus, Disposition | None], EndReason] = {
    (status, disposition): reason for reason, (status, disposition) in LISTED_BY.items() if disposition
}


class CountedCall(BaseModel):
    """What is counted of a call."""

    model_config = ConfigDict(frozen=True)

    status: CallStatus
    attempt: int
    never_rang: int = 0
    disposition: Disposition | None
    stage: int | None = None
    """The stage that the last attempt has reached; None: only older builds have seen the call."""
    earlier_stage: int | None = None
    """The furthest stage of the attempts before it."""
    cause: str | None = None
    """Why the call ended last, apart from its disposition. It stays while the call is dialled again."""


def stages_after(document: CountedCall | None, event: CallDecision) -> dict[str, int | None]:
    """Returns the stage of the present attempt after a decision, and the furthest one of the attempts before it."""
    call = event.call
    stage, earlier = (document.stage, document.earlier_stage) if document else (None, None)
    if document and document.attempt != call.attempt:
        reached = [known for known in (stage, earlier) if known is not None]
        stage, earlier = None, max(reached, default=None)
    if _is_undialled(document, call):
        return {"stage": Stage.REQUESTED.value, "earlier_stage": earlier}
    return {"stage": _stage(stage or 0, call), "earlier_stage": earlier}


def _stage(before: int, call: Call) -> int:
    stage = max(before, _LEAST_STAGES.get(call.status, 0))
    if _is_machine(call):
        return min(stage, Stage.ANSWERED.value)
    if call.disposition is None:
        return stage
    if call.disposition is call.goal:
        return Stage.GOAL.value
    return Stage.PERSON.value if call.disposition in _OF_PERSONS else min(stage, Stage.PERSON.value)


def _is_machine(call: Call) -> bool:
    is_closed = call.hangup_reason in (HangupReason.VOICEMAIL, HangupReason.FAX)
    return is_closed or call.status is CallStatus.VOICEMAIL or call.voicemail_delivery is not None


def _is_undialled(document: CountedCall | None, call: Call) -> bool:
    """Whether the decision says that the present attempt did not reach the network."""
    return document is not None and call.undialled_attempts > document.never_rang


def stage_after_reply(document: CountedCall, event: ReplyGenerated) -> int | None:
    """Returns the stage of the present attempt after a reply: a person spoke, unless it answers a silence."""
    is_on_line = document.status in LIVE_STATUSES or document.status is CallStatus.COMPLETED
    if document.stage is None or event.attempt != document.attempt or not is_on_line or event.source in _NO_SPEECH:
        return document.stage
    return max(document.stage, Stage.PERSON.value)


def cause_after(document: CountedCall | None, event: CallDecision) -> str | None:
    """Returns why the call ended last, apart from its disposition; None if it did not, or in an older build."""
    if isinstance(event, CallStatusChanged) and event.call.status.is_final:
        return _cause(document, event)
    return document.cause if document else None


def _cause(document: CountedCall | None, event: CallStatusChanged) -> EndReason:
    status = event.call.status
    if status is CallStatus.EXPIRED:
        is_finished = event.reason == CAMPAIGN_FINISHED
        return EndReason.CAMPAIGN_FINISHED if is_finished else EndReason.NOT_DIALLED_IN_TIME
    if status is CallStatus.COMPLETED:
        return EndReason.NO_RESULT
    return _cause_of_failure(document, event) if status is CallStatus.FAILED else EndReason(status.value)


def _cause_of_failure(document: CountedCall | None, event: CallStatusChanged) -> EndReason:
    call = event.call
    is_undialled = _is_undialled(document, call)
    if call.permission and (is_undialled or event.previous is CallStatus.PENDING):
        return _RULES.get(call.permission.rule, EndReason.NOT_PERMITTED)
    if call.hangup_reason is HangupReason.FAX:
        return EndReason.FAX
    if event.reason == OUTCOME_UNKNOWN:
        return EndReason.UNKNOWN_OUTCOME
    return EndReason.DIAL_REFUSED if is_undialled else EndReason.NETWORK_FAILURE


def counted_outcome(document: CountedCall) -> dict[str, int]:
    """Returns what one call adds to `OF_FUNNEL`, and to `OF_REASONS` once it has ended.

    A call adds nothing if only older builds have seen it. Once it adds to a counter, it adds to all of its group, if
    only 0, so that the counters that a document has do not depend on the batches.
    """
    counts: dict[str, int] = {}
    if document.stage is not None:
        reached = max(document.stage, document.earlier_stage or 0)
        counts |= {name: int(reached >= stage) for stage, name in FUNNEL.items()}
        counts[UNDIALLED_ATTEMPTS] = document.never_rang
    if document.cause is not None:
        counts |= dict.fromkeys(OF_REASONS, 0)
        if document.status.is_final:
            # The disposition may become known after the end.
            counts[f"reason_{_BY_DISPOSITION.get((document.status, document.disposition), document.cause)}"] = 1
    return counts


def outcome_of(before: CountedCall | None, after: CountedCall) -> str | None:
    """Returns what is counted at the event between two documents of a call, by its name in `OutcomeCounts`."""
    status = before.status if before else CallStatus.PENDING
    if after.status is status:
        return None
    if after.status is CallStatus.DIALING:
        return "attempts"
    if after.status.is_final:
        return after.status.value
    return "retried" if after.status is CallStatus.PENDING and status in LIVE_STATUSES else None


def minute_of(event: CallDecision) -> datetime:
    """Returns the beginning of the minute of an event."""
    return event.occurred_at.replace(second=0, microsecond=0)
