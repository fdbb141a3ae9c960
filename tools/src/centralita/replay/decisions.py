"""Deciding one input again by the orchestrator's own rules. Needs the extra ``replay``.

The only module of the tools that runs a service's rules; it repeats none.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import get_args

from call_orchestrator.application.call_decisions import decide_call, read_late
from call_orchestrator.application.call_inputs import DecidingEvent, call_input
from call_orchestrator.application.call_terms import NO_TERMS, Policy
from call_orchestrator.application.stored import pauses_of
from call_orchestrator.application.stored_number_use import number_use_of
from call_orchestrator.domain.calling_policy import CallingPolicy
from call_orchestrator.domain.number_use import UNUSED
from chassis.event_log import StoredEvent
from contracts import (
    AgentTools,
    Call,
    CallChanged,
    CallChangeRequested,
    CallCommandRefused,
    CallCreated,
    CallDecision,
    CallRequested,
    CallStatus,
    CallStatusChanged,
    Campaign,
    CampaignTerms,
    Envelope,
    Event,
)
from contracts.call import Permission
from contracts.callees import TERRITORIES
from contracts.dial_terms import NO_DIAL_TERMS
from contracts.numbers import country_of
from contracts.personal import PLACEHOLDERS
from contracts.retry_policy import RequestedRetryPolicy
from contracts.voicemail import RequestedVoicemail

DIAL_WITHIN = timedelta(days=1)
"""The orchestrator's default of ``DIAL_WITHIN_MINUTES``, the only limit that some events do not carry."""
INPUTS: tuple[type, ...] = get_args(DecidingEvent)
"""The event types that the orchestrator decides on."""


def decide_again(
    before: Call | None,
    stored: StoredEvent,
    policy: Policy,
    now: datetime,
    campaign_events: Iterable[Event] = (),
    campaign: CampaignTerms = NO_TERMS,
    permission: Permission | None = None,
    *,
    is_campaign_finished: bool = False,
    late_campaign: Campaign | None = None,
) -> CallDecision | None:
    """Returns the decision on an input while the call is `before`; None if the input is ignored or refused.

    `campaign_events`: all of the call's campaign. Only a call that would expire needs them; later ones are ignored.
    `campaign`: the terms that were in force. `permission`: that of the recorded decision, which names what was known
    about the number. `is_campaign_finished`: as far as the replica knew. `late_campaign`: the campaign as it was when
    a grant was carried out late.
    """
    if not isinstance(stored.event, DecidingEvent):
        raise TypeError(f"{stored.event.event_name} is not an input of the orchestrator")
    decided_input = call_input(stored.event, stored.envelope)
    if late_campaign:
        decided_input = read_late(decided_input, late_campaign)
    number = number_use_of(permission) if permission else UNUSED
    decide = partial(decide_call, before, decided_input, policy, now, campaign=campaign, number=number)
    decision = decide(is_campaign_finished=is_campaign_finished)
    is_expired = isinstance(decision, CallDecision) and decision.call.status is CallStatus.EXPIRED
    if is_expired and not is_campaign_finished:
        decision = decide(pauses=pauses_of(campaign_events))
    return decision if isinstance(decision, CallDecision) else None


def by_former_rules(recorded: CallDecision, now: CallDecision, cause: Event) -> CallDecision:
    """Returns the decision of today as the build that recorded it made it, where a rule has changed since.

    In builds before ADR 29, a call that was due at once was not queued before its timer had fired. Builds before ADR 46
    did not record the time that a request named, nor the fields of a refused change. The version of the calling policy
    was that of its rules alone (`CallingPolicy.versions`). They did not record when a number was changed, nor until
    when a dial was permitted. The talk time of a call was that which the `cause` of its last status reported.
    """
    if isinstance(recorded, CallStatusChanged) and recorded.call.duration_seconds != now.call.duration_seconds:
        reported = getattr(cause, "duration_seconds", None)
        now = now.model_copy(update={"call": now.call.model_copy(update={"duration_seconds": reported})})
    now = _as_recorded(recorded.call.permission, now)
    unrecorded: dict[str, object] = {"scheduled_at": None} if "scheduled_at" not in recorded.model_fields_set else {}
    if isinstance(recorded, CallCommandRefused) and "changed" not in recorded.model_fields_set:
        unrecorded |= {"changed": ()}
    now = now.model_copy(update={name: value for name, value in unrecorded.items() if name in type(now).model_fields})
    then = recorded.call
    if then.number_changed_at is None and now.call.number_changed_at:
        now = now.model_copy(update={"call": now.call.model_copy(update={"number_changed_at": None})})
    waits_for_timer = then.status is CallStatus.PENDING and not then.is_queued
    if not (waits_for_timer and then.due_at and then.due_at <= recorded.occurred_at and now.call.is_queued):
        return now
    return now.model_copy(
        update={"call": now.call.model_copy(update={"is_queued": False, "deadline_at": now.call.due_at})}
    )


def _as_recorded(recorded: Permission | None, now: CallDecision) -> CallDecision:
    """Returns the decision of today with what an older build may have recorded otherwise about its permission.

    That is the version of the calling policy, and `until`, which it left out.
    """
    if recorded is None or now.call.permission is None:
        return now
    former: dict[str, object] = {"policy_version": recorded.policy_version}
    if "until" not in recorded.model_fields_set:
        former["until"] = None
    permission = now.call.permission.model_copy(update=former)
    return now.model_copy(update={"call": now.call.model_copy(update={"permission": permission})})


def is_refused_by_unknown_value(recorded: CallDecision, now: CallDecision, *, is_erased: bool) -> bool:
    """Returns whether a recorded refusal of a change may depend on values that are sealed or erased."""
    is_unknown = is_erased or recorded.call.phone_number in PLACEHOLDERS
    return is_unknown and isinstance(recorded, CallCommandRefused) and isinstance(now, CallChanged)


def policy_of(
    call: Call | None,
    dial_within: timedelta,
    allowed_countries: frozenset[str],
    calling_policy: CallingPolicy | None = None,
    caller_ids: frozenset[str] | None = None,
) -> Policy:
    """Returns the defaults that were in force when a call was created, as far as the call carries them.

    A queued call shows by its deadline how late it may be dialled; for any other, `dial_within` is used. Without a call
    the values do not matter, because no recorded decision is compared with the result. Only `allowed_countries` and
    `caller_ids` do. The digest and the place of a sealed number are those of the call, and so are the disclosures.
    """
    if call is None:
        span = timedelta(minutes=1)
        return Policy(
            call_timeout=span,
            max_retries=0,
            retry_delay=span,
            max_talk=span,
            dial_within=dial_within,
            allowed_countries=allowed_countries,
            calling_policy=calling_policy,
            caller_ids=caller_ids,
        )
    if call.is_queued and call.deadline_at and call.due_at:
        dial_within = call.deadline_at - call.due_at
    return Policy(
        call_timeout=timedelta(seconds=call.call_timeout_seconds),
        max_retries=call.max_retries,
        retry_delay=timedelta(seconds=call.retry_delay_seconds),
        max_talk=timedelta(seconds=call.max_call_seconds),
        dial_within=dial_within,
        allowed_countries=allowed_countries,
        calling_policy=calling_policy,
        digest_of=lambda _: call.number_digest,
        callee_of=lambda *_: call.callee,
        caller_ids=caller_ids,
        disclosure_of=lambda _: call.disclosure,
        message_disclosure_of=lambda _: call.message_disclosure,
    )


def erased_input(event: CallDecision, cause_id: str | None) -> StoredEvent | None:
    """Returns the request or change that led to a decision, as far as the decision carries it; None for other inputs.

    A request in clear is erased once it is decided (ADR 46). A contact left its stream when its call was created. What
    a request took from its campaign is in `terms_in`. Of a refused change only the names of its fields are known.
    """
    erased: CallRequested | CallChangeRequested
    match event:
        case CallCreated():
            erased = _request_of(event)
        case CallChanged() | CallCommandRefused(command=CallChangeRequested.event_name):
            erased = _change_of(event)
        case _:
            return None
    return StoredEvent(erased, Envelope.read({}, id=cause_id or "", time=event.occurred_at), sequence=0)


def _request_of(event: CallCreated) -> CallRequested:
    call = event.call
    is_of_contact = call.request_id == f"{call.campaign_id}:{call.contact_id}"
    return CallRequested.model_construct(
        request_id=call.request_id,
        campaign_id=call.campaign_id,
        contact_id=call.contact_id,
        phone_number=call.phone_number,
        variables=call.variables,
        purpose=call.purpose,
        time_zone=call.time_zone,
        scheduled_at=event.scheduled_at,
        max_retries=None if is_of_contact else call.max_retries,
        metadata=call.metadata,
        consent_at=call.consent_at,
        consent_source=call.consent_source,
        key_name=call.key_name,
    )


def _change_of(event: CallChanged | CallCommandRefused) -> CallChangeRequested:
    values = {name: getattr(event.call, name) for name in event.changed if name != "scheduled_at"}
    if "retry_policy" in values:
        rules = event.call.retry_policy.model_dump(exclude_none=True) if event.call.retry_policy else {}
        values["retry_policy"] = RequestedRetryPolicy.model_validate(rules)
    if "voicemail" in values and event.call.voicemail:
        values["voicemail"] = RequestedVoicemail.model_construct(message=event.call.voicemail.message)
    return CallChangeRequested.model_construct(call_id=event.call.call_id, scheduled_at=event.scheduled_at, **values)


def terms_in(call: Call | None) -> CampaignTerms:
    """Returns the terms of the campaign that a decision used, as far as the call after it carries them.

    What a request contains precedes them, so for a new call only what it took from its campaign matters.
    """
    if call is None:
        return NO_TERMS
    dial_terms = call.permission.campaign if call.permission else NO_DIAL_TERMS
    return CampaignTerms(
        purpose=dial_terms.purpose,
        weekly_hours=dial_terms.weekly_hours,
        do_not_call_lists=dial_terms.do_not_call_lists,
        script_template=call.script_template,
        variables=call.variables,
        language=call.language,
        mode=call.mode,
        retry_policy=call.retry_policy,
        call_timeout_seconds=call.call_timeout_seconds,
        voicemail=call.voicemail,
        max_attempts=call.max_attempts,
        max_attempts_per_day=call.max_attempts_per_day,
        retention_days=call.retention_days,
        goal=call.goal,
        opt_out_key=call.opt_out_key,
        caller_id=call.caller_id,
        voice=call.voice,
        company=call.company,
        turn_taking=call.turn_taking,
        tools=AgentTools() if call.has_tools else None,  # which ones is for the conversation only
    )


def read_calling_policy(file: Path | None = None) -> CallingPolicy:
    """Returns the shipped calling policy, with the rules of a file in place of the shipped ones.

    Raises ValueError, which names the file, the line, the column and the remedy.
    """
    return CallingPolicy.shipped(file)


def country_called(call: Call) -> str | None:
    """Returns the country of the call's number, which was certainly allowed. That of a sealed number is in the call."""
    if call.phone_number not in PLACEHOLDERS or call.callee is None:
        return country_of(call.phone_number)
    place = call.callee.country, *call.callee.regions
    return next((code for code, territory in TERRITORIES.items() if territory == place), call.callee.country)
