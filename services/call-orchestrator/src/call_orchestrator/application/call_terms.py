"""The terms of a call: what its request sets, then its campaign, and the defaults of the installation for the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from call_orchestrator.domain.calling_policy import CallingPolicy
from call_orchestrator.domain.disclosures import Disclosures
from contracts import (
    AgentTools,
    Call,
    CallChangeRequested,
    CallRequested,
    CallStatus,
    CampaignTerms,
    Disposition,
)
from contracts.callees import Callee, callee_of
from contracts.numbers import country_of
from contracts.personal import PLACEHOLDERS
from contracts.retry_policy import RetryPolicy
from contracts.script import greeting_refusals, missing_variables, size_refusals
from contracts.vocabulary import NO_OPT_OUT_KEY, ConversationMode
from contracts.voicemail import VoicemailPolicy, message_refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The defaults, and the limits that no request can change."""

    call_timeout: timedelta
    max_retries: int
    retry_delay: timedelta
    max_talk: timedelta
    dial_within: timedelta
    allowed_countries: frozenset[str]
    """The countries whose numbers may be called (ISO 3166-1 alpha-2)."""
    calling_policy: CallingPolicy | None = None
    """When people may be called; None: always, as in builds without a calling policy."""
    digest_of: Callable[[str], str | None] = lambda _: None
    """Returns the digest of a number; None: the call has none, as in builds that sealed no personal data."""
    callee_of: Callable[[str, str | None], Callee | None] = callee_of
    """Returns where the person with a number, and perhaps a time zone, may be; None: as in builds without it."""
    caller_ids: frozenset[str] | None = None
    """The numbers that may call; None: any, as in builds where only a campaign named one."""
    disclosure_of: Callable[[Call], str | None] = lambda _: None
    """Returns the disclosure of a call; None: without a company, and as in builds that stored none."""
    message_disclosure_of: Callable[[Call], str | None] = lambda _: None
    """Returns the disclosure of a call's voicemail message; None: without a company or a message, and as above."""


class UnacceptableTerms(ValueError):
    """A number in a country that is not allowed, or terms that are incomplete or contradict those of the campaign."""


_DISCLOSED = frozenset({"language", "callee", "company", "opt_out_key"})
"""The fields that can change, on which the disclosure depends."""
_MESSAGE_DISCLOSED = _DISCLOSED | {"voicemail"}
_REQUIRABLE = ("consent_at", "company", "caller_id")
"""The fields that can change, which a calling rule may require."""
NO_TERMS = CampaignTerms()
"""The terms of a campaign that was never created."""


def new_call(
    call_id: UUID, request: CallRequested, policy: Policy, now: datetime, campaign: CampaignTerms = NO_TERMS
) -> Call:
    """Returns the call of a request, before its first event. Raises UnacceptableTerms.

    `campaign`: the terms of its campaign. They precede the defaults of the installation.
    """
    _check_request(request, policy, campaign)
    script_template, variables = _script(request, campaign)
    delay = request.retry_delay_seconds
    ring = request.call_timeout_seconds or campaign.call_timeout_seconds
    retry_policy = request.retry_policy.stored() if request.retry_policy else campaign.retry_policy
    _check_goal(retry_policy, campaign.goal)
    voicemail = request.voicemail.stored() if request.voicemail else campaign.voicemail
    is_sealed = request.phone_number in PLACEHOLDERS
    if not is_sealed:
        _check_message(voicemail, variables)
    call = Call(
        call_id=call_id,
        request_id=request.request_id or "",
        campaign_id=request.campaign_id,
        contact_id=request.contact_id,
        phone_number=request.phone_number,
        number_digest=policy.digest_of(request.phone_number),
        callee=policy.callee_of(request.phone_number, request.time_zone),
        script_template=script_template,
        variables=variables,
        language=_language(request, campaign),
        mode=request.mode or ConversationMode(campaign.mode),
        turn_taking=campaign.turn_taking,
        metadata=request.metadata,
        max_retries=_max_retries(request, policy, campaign),
        max_attempts=campaign.max_attempts,
        max_attempts_per_day=campaign.max_attempts_per_day,
        retention_days=request.retention_days or campaign.retention_days,
        retry_delay_seconds=int(policy.retry_delay.total_seconds()) if delay is None else delay,
        retry_policy=retry_policy,
        goal=campaign.goal,
        call_timeout_seconds=int(policy.call_timeout.total_seconds()) if ring is None else ring,
        max_call_seconds=int(policy.max_talk.total_seconds()),
        voicemail=voicemail,
        message_characters=None if is_sealed else _message_characters(voicemail, variables),
        opt_out_key=request.opt_out_key or campaign.opt_out_key,
        caller_id=request.caller_id or campaign.caller_id,
        voice=request.voice or campaign.voice,
        company=request.company or campaign.company,
        has_tools=campaign.tools is not None,
        consent_at=request.consent_at,
        consent_source=request.consent_source,
        purpose=request.purpose,
        time_zone=request.time_zone,
        key_name=request.key_name,
        created_at=now,
        status=CallStatus.PENDING,
        attempt=0,
        status_changed_at=now,
    )
    return call.model_copy(
        update={"disclosure": policy.disclosure_of(call), "message_disclosure": policy.message_disclosure_of(call)}
    )


def _check_request(request: CallRequested, policy: Policy, campaign: CampaignTerms) -> None:
    """Raises UnacceptableTerms if a term of the request contradicts the installation or the campaign."""
    _check_country(request.phone_number, policy)
    check_caller_id(request.caller_id, policy.caller_ids)
    if request.purpose and campaign.purpose and request.purpose is not campaign.purpose:
        remedy = "leave purpose out, or use another campaign"
        raise UnacceptableTerms(f"purpose: its campaign is for {campaign.purpose}; {remedy}")


def disclosed_by(disclosures: Disclosures) -> Callable[[Call], str | None]:
    """Returns the function that finds the disclosure of a call in a table."""

    def disclosure_of(call: Call) -> str | None:
        country = call.callee.country if call.callee else ""
        return disclosures.sentence(country, call.language, call.company, call.opt_out_key) if call.company else None

    return disclosure_of


def message_disclosed_by(disclosures: Disclosures) -> Callable[[Call], str | None]:
    """Returns the function that finds the disclosure of a call's voicemail message in a table.

    It names no key: who listens to a message later cannot press one.
    """
    disclosure_of = disclosed_by(disclosures)

    def message_disclosure_of(call: Call) -> str | None:
        return disclosure_of(call.model_copy(update={"opt_out_key": NO_OPT_OUT_KEY})) if call.voicemail else None

    return message_disclosure_of


def _script(request: CallRequested, campaign: CampaignTerms) -> tuple[str, dict[str, str]]:
    """Returns the script and its variables. Those of a request that has a script were checked where it entered."""
    if request.script_template is not None:
        return request.script_template, request.variables
    if campaign.script_template is None:
        remedy = "give it in the request or in the terms of the campaign"
        raise UnacceptableTerms(f"script_template: neither the request nor its campaign has one; {remedy}")
    variables = {**campaign.variables, **request.variables}
    if request.phone_number not in PLACEHOLDERS:
        _check_script(campaign.script_template, variables)
    return campaign.script_template, variables


def _language(request: CallRequested, campaign: CampaignTerms) -> str:
    is_given = "language" in request.model_fields_set
    return request.language if is_given else campaign.language or request.language


def _max_retries(request: CallRequested, policy: Policy, campaign: CampaignTerms) -> int:
    if request.max_retries is not None:
        _check_attempts(request.max_retries, campaign.max_attempts)
        return request.max_retries
    return policy.max_retries if campaign.max_attempts is None else campaign.max_attempts - 1


def _check_attempts(max_retries: int, max_attempts: int | None) -> None:
    if max_attempts is not None and max_retries >= max_attempts:
        permitted = f"its campaign permits {max_attempts} attempts in all"
        raise UnacceptableTerms(f"max_retries: {permitted}; give at most {max_attempts - 1}, or leave it out")


def _check_goal(retry_policy: RetryPolicy | None, goal: Disposition | None) -> None:
    if retry_policy and retry_policy.goal_missed and goal is None:
        raise UnacceptableTerms("retry_policy: goal_missed needs a campaign with a goal; leave this rule out")


def _check_message(voicemail: VoicemailPolicy | None, variables: Mapping[str, str]) -> None:
    if voicemail and (refusals := message_refusals(voicemail.message, variables)):
        raise UnacceptableTerms(refusals[0])


def _message_characters(voicemail: VoicemailPolicy | None, variables: Mapping[str, str]) -> int | None:
    return len(voicemail.render(variables)) if voicemail else None


def _check_script(script_template: str, variables: Mapping[str, str]) -> None:
    """Raises UnacceptableTerms if variables are missing, or if the script is too long or has no greeting."""
    _check_variables(script_template, variables)
    refusals = size_refusals(script_template, variables) or greeting_refusals(script_template, variables)
    if refusals:
        raise UnacceptableTerms(refusals[0])


def _check_variables(script_template: str, variables: Mapping[str, str]) -> None:
    try:
        missing = missing_variables(script_template, variables)
    except ValueError as error:
        raise UnacceptableTerms(str(error)) from error
    if missing:
        raise UnacceptableTerms(f"script_template asks for {', '.join(missing)}: give it in variables")


def changed_call(call: Call, request: CallChangeRequested, policy: Policy) -> Call:
    """Returns the call with the requested changes. Raises UnacceptableTerms."""
    if request.phone_number is not None:
        _check_country(request.phone_number, policy)
    check_caller_id(request.caller_id, policy.caller_ids)
    changes = request.changes()
    changes.pop("scheduled_at", None)
    if request.retry_policy is not None:
        changes["retry_policy"] = request.retry_policy.stored()
    if request.voicemail is not None:
        changes["voicemail"] = request.voicemail.stored()
    if request.phone_number is not None:
        changes["number_digest"] = policy.digest_of(request.phone_number)
    changes |= callee_changes(call, request, policy)
    after = call.model_copy(update=changes)
    if not _DISCLOSED.isdisjoint(changes):
        after = after.model_copy(update={"disclosure": policy.disclosure_of(after)})
    if not _MESSAGE_DISCLOSED.isdisjoint(changes):
        after = after.model_copy(update={"message_disclosure": policy.message_disclosure_of(after)})
    if request.max_retries is not None:
        _check_attempts(request.max_retries, call.max_attempts)
    _check_goal(after.retry_policy, after.goal)
    if call.phone_number in PLACEHOLDERS:  # read without the key: its texts were checked when this was decided
        return after
    # A script that an older build accepted does not prevent a change of other terms.
    is_new_script = not {"script_template", "variables"}.isdisjoint(changes)
    check = _check_script if is_new_script else _check_variables
    check(after.script_template, after.variables)
    if not is_new_script and request.voicemail is None:
        return after
    _check_message(after.voicemail, after.variables)
    return after.model_copy(update={"message_characters": _message_characters(after.voicemail, after.variables)})


def with_requirements(call: Call, request: CallChangeRequested, policy: Policy) -> Call:
    """Returns the call with those changes on which the calling policy depends, before the change is checked."""
    given = {name: value for name in _REQUIRABLE if (value := getattr(request, name)) is not None}
    return call.model_copy(update={**given, **callee_changes(call, request, policy)})


def callee_changes(call: Call, request: CallChangeRequested, policy: Policy) -> dict[str, object]:
    """Returns what a change sets of where the person may be: nothing without a new number or time zone."""
    if request.phone_number is None and request.time_zone is None:
        return {}
    number = request.phone_number or call.phone_number
    callee = policy.callee_of(number, request.time_zone)
    return {"phone_number": number, "time_zone": request.time_zone, "callee": callee}


def check_caller_id(caller_id: str | None, caller_ids: frozenset[str] | None) -> None:
    """Raises UnacceptableTerms if the installation may not call from a number."""
    if caller_id is not None and caller_ids is not None and caller_id not in caller_ids:
        raise UnacceptableTerms(
            "caller_id: this installation may not call from this number; add it to CALLER_IDS, or leave it out"
        )


def check_destinations(tools: AgentTools | None, allowed_countries: frozenset[str]) -> None:
    """Raises UnacceptableTerms if calls could be transferred to a country that this installation does not call."""
    for destination in tools.transfers if tools else ():
        if (country := country_of(destination.phone_number)) not in allowed_countries:
            allowed = ", ".join(sorted(allowed_countries))
            raise UnacceptableTerms(
                f"tools.transfers: {destination.name} has a number of the country {country}; allowed are {allowed} "
                "(ALLOWED_COUNTRIES)"
            )


def _check_country(phone_number: str, policy: Policy) -> None:
    if phone_number in PLACEHOLDERS:
        return
    country = country_of(phone_number)
    if country not in policy.allowed_countries:
        allowed = ", ".join(sorted(policy.allowed_countries))
        raise UnacceptableTerms(
            f"phone_number: numbers of the country {country} are not called; allowed are {allowed} (ALLOWED_COUNTRIES)"
        )
