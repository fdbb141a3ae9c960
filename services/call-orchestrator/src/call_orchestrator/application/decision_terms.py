"""The terms with which the state machine decides about a call."""

from datetime import timedelta
from functools import lru_cache

from call_orchestrator.domain.calling_policy import CallingPolicy, Requirement, WeeklyHours
from call_orchestrator.domain.dial_times import DialTimes
from call_orchestrator.domain.number_use import UNUSED, NumberUse
from call_orchestrator.domain.retry_rules import EARLY_HANGUP, MAX_DELAY, RetryRule
from call_orchestrator.domain.states import Terms
from contracts import Call
from contracts.callees import Callee, callee_of
from contracts.dial_terms import NO_DIAL_TERMS, DialTerms, OpenHours
from contracts.numbers import country_of
from contracts.person_fields import GivenConsent
from contracts.retry_policy import RetryPolicy
from contracts.retry_policy import RetryRule as StoredRule
from contracts.vocabulary import RetryOutcome

CHARACTERS_PER_SECOND = 10
"""The slowest speed of speech that the deadline of a message allows for."""
MESSAGE_MARGIN = timedelta(seconds=20)
"""How long it may take until a message begins."""


def terms_of(
    call: Call,
    dial_within: timedelta,
    calling_policy: CallingPolicy | None = None,
    campaign: DialTerms = NO_DIAL_TERMS,
    number: NumberUse = UNUSED,
    *,
    is_campaign_finished: bool = False,
    is_campaign_closed: bool = False,
) -> Terms:
    """Returns the terms of the call. Without a `calling_policy`, it may be dialled at any time."""
    early = call.retry_policy.hung_up_early if call.retry_policy else None
    callee = call.callee or callee_of(call.phone_number, call.time_zone)
    dial_times = (
        None
        if calling_policy is None
        else DialTimes(
            policy=calling_policy,
            callee=callee,
            purpose=campaign.purpose or call.purpose,
            hours=weekly_hours_of(campaign.weekly_hours),
            number=number,
            max_per_day=call.max_attempts_per_day,
            recent_dials=call.recent_dials,
            met=met_requirements(call, call.caller_id, call.company, callee),
        )
    )
    return Terms(
        max_retries=call.max_retries,
        retry_delay=timedelta(seconds=call.retry_delay_seconds),
        ring_time=timedelta(seconds=call.call_timeout_seconds),
        max_talk=timedelta(seconds=call.max_call_seconds),
        dial_within=dial_within,
        retry_rules=_rules_of(call.retry_policy) if call.retry_policy else {},
        early_hangup=timedelta(seconds=early.early_seconds) if early else EARLY_HANGUP,
        dial_times=dial_times,
        goal=call.goal,
        message_time=_message_time(call),
        max_attempts=call.max_attempts,
        is_campaign_finished=is_campaign_finished,
        is_campaign_closed=is_campaign_closed,
    )


def met_requirements(
    consent: GivenConsent | None, caller_id: str | None, company: str | None, callee: Callee
) -> frozenset[Requirement]:
    """Returns what a call meets of that which a rule may require."""
    is_local = caller_id is not None and country_of(caller_id) == callee.number_country
    met = {
        Requirement.CONSENT: consent is not None and consent.consent_at is not None,
        Requirement.DISCLOSURE: company is not None,
        Requirement.LOCAL_CALLER_ID: is_local,
    }
    return frozenset(requirement for requirement, is_met in met.items() if is_met)


@lru_cache(maxsize=256)
def weekly_hours_of(hours: tuple[OpenHours, ...]) -> WeeklyHours | None:
    """Returns the weekly hours of a campaign; None if it has none. Raises ValueError if they are not valid."""
    rows = [(" ".join(one.days), one.opens_at, one.closes_at) for one in hours]
    return WeeklyHours.of(rows) if rows else None


def _message_time(call: Call) -> timedelta | None:
    if call.voicemail is None:
        return None
    characters = call.message_characters
    if characters is None:
        characters = len(call.voicemail.render(call.variables))
    characters += len(call.message_disclosure or "")
    return timedelta(seconds=round(characters / CHARACTERS_PER_SECOND)) + MESSAGE_MARGIN


def _rules_of(policy: RetryPolicy) -> dict[RetryOutcome, RetryRule]:
    rules: dict[RetryOutcome, StoredRule | None] = {
        RetryOutcome.BUSY: policy.busy,
        RetryOutcome.NO_ANSWER: policy.no_answer,
        RetryOutcome.FAILED: policy.failed,
        RetryOutcome.VOICEMAIL: policy.voicemail,
        RetryOutcome.HUNG_UP_EARLY: policy.hung_up_early,
        RetryOutcome.GOAL_MISSED: policy.goal_missed,
    }
    return {outcome: _rule_of(rule) for outcome, rule in rules.items() if rule}


def _rule_of(rule: StoredRule) -> RetryRule:
    max_delay = MAX_DELAY if rule.max_delay_seconds is None else timedelta(seconds=rule.max_delay_seconds)
    delay = timedelta(seconds=rule.delay_seconds)
    return RetryRule(max_retries=rule.max_retries, delay=delay, backoff=rule.backoff, max_delay=max_delay)
