"""The terms of a call: what its request sets, and the defaults of the installation for the rest."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from contracts import Call, CallChangeRequested, CallRequested, CallStatus
from contracts.script import missing_variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The defaults, and the limits that no request can change."""

    call_timeout: timedelta
    max_retries: int
    retry_delay: timedelta
    max_talk: timedelta
    dial_within: timedelta


class UnacceptableChange(ValueError):
    """A change after which the script lacks a variable."""


def new_call(call_id: UUID, request: CallRequested, policy: Policy, now: datetime) -> Call:
    """Returns the call of a request, before its first event."""
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
        call_timeout_seconds=int(policy.call_timeout.total_seconds()) if ring is None else ring,
        max_call_seconds=int(policy.max_talk.total_seconds()),
        created_at=now,
        status=CallStatus.PENDING,
        attempt=0,
        status_changed_at=now,
    )


def changed_call(call: Call, request: CallChangeRequested) -> Call:
    """Returns the call with the requested changes. Raises UnacceptableChange if its script then lacks a variable."""
    changes = request.changes()
    changes.pop("scheduled_at", None)
    after = call.model_copy(update=changes)
    try:
        missing = missing_variables(after.script_template, after.variables)
    except ValueError as error:
        raise UnacceptableChange(str(error)) from error
    if missing:
        raise UnacceptableChange(f"script_template asks for {', '.join(missing)}: give it in variables")
    return after
