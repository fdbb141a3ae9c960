"""The terms of a call: what its request sets, and the defaults of the installation for the rest."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from call_orchestrator.domain.calling_policy import CallingPolicy
from contracts import Call, CallChangeRequested, CallRequested, CallStatus
from contracts.numbers import country_of
from contracts.script import greeting_refusals, missing_variables, size_refusals


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


class UnacceptableTerms(ValueError):
    """A number in a country that is not allowed, or a change after which the script is unacceptable."""


def new_call(call_id: UUID, request: CallRequested, policy: Policy, now: datetime) -> Call:
    """Returns the call of a request, before its first event. Raises UnacceptableTerms."""
    _check_country(request.phone_number, policy)
    delay, ring = request.retry_delay_seconds, request.call_timeout_seconds
    return Call(
        call_id=call_id,
        request_id=request.request_id or "",
        campaign_id=request.campaign_id,
        contact_id=request.contact_id,
        phone_number=request.phone_number,
        script_template=request.script_template,
        variables=request.variables,
        language=request.language,
        metadata=request.metadata,
        max_retries=policy.max_retries if request.max_retries is None else request.max_retries,
        retry_delay_seconds=int(policy.retry_delay.total_seconds()) if delay is None else delay,
        retry_policy=request.retry_policy.stored() if request.retry_policy else None,
        call_timeout_seconds=int(policy.call_timeout.total_seconds()) if ring is None else ring,
        max_call_seconds=int(policy.max_talk.total_seconds()),
        purpose=request.purpose,
        time_zone=request.time_zone,
        key_name=request.key_name,
        created_at=now,
        status=CallStatus.PENDING,
        attempt=0,
        status_changed_at=now,
    )


def changed_call(call: Call, request: CallChangeRequested, policy: Policy) -> Call:
    """Returns the call with the requested changes. Raises UnacceptableTerms."""
    if request.phone_number is not None:
        _check_country(request.phone_number, policy)
    changes = request.changes()
    changes.pop("scheduled_at", None)
    if request.retry_policy is not None:
        changes["retry_policy"] = request.retry_policy.stored()
    if request.phone_number is not None:
        changes.setdefault("time_zone", None)
    after = call.model_copy(update=changes)
    try:
        missing = missing_variables(after.script_template, after.variables)
    except ValueError as error:
        raise UnacceptableTerms(str(error)) from error
    if missing:
        raise UnacceptableTerms(f"script_template asks for {', '.join(missing)}: give it in variables")
    # A script that an older build accepted does not prevent a change of other terms.
    is_new_script = not {"script_template", "variables"}.isdisjoint(changes)
    script, variables = after.script_template, after.variables
    if is_new_script and (refusals := size_refusals(script, variables) or greeting_refusals(script, variables)):
        raise UnacceptableTerms(refusals[0])
    return after


def _check_country(phone_number: str, policy: Policy) -> None:
    country = country_of(phone_number)
    if country not in policy.allowed_countries:
        allowed = ", ".join(sorted(policy.allowed_countries))
        raise UnacceptableTerms(
            f"phone_number: numbers of the country {country} are not called; allowed are {allowed} (ALLOWED_COUNTRIES)"
        )
