"""The form in which calls and campaigns enter the audit log: what an act changed, without personal data."""

import hashlib
import re
from typing import Any

from contracts import Call, CallRequested, CampaignTerms
from edge.application.campaigns import Campaign

_ID_OR_NUMBER = re.compile(r"(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)|\+?[0-9](?:[ ().-]{0,2}[0-9]){6,}")
"""Ids match first, so that their digits are not taken for a phone number."""
_UNMASKED = (
    "status",
    "attempt",
    "due_at",
    "language",
    "max_retries",
    "retry_delay_seconds",
    "retry_policy",
    "call_timeout_seconds",
    "ended_at",
)


def mask_numbers(text: str) -> str:
    """Returns the text with the middle of each possible phone number masked: ``+1•••••••••23``."""
    return _ID_OR_NUMBER.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    whole = match[0]
    return whole if match["id"] else f"{whole[:2]}{'•' * (len(whole) - 4)}{whole[-2:]}"


def mask_call(call: Call) -> dict[str, Any]:
    """Returns a call for an audit entry: variables and metadata as their names, and nothing of the script.

    Their values are personal data and stay in the call's own events. An entry of the audit log is never deleted, and a
    digest would show which of some texts the script is. `AuditEntry.fields` shows that it was changed.
    """
    unmasked = call.model_dump(mode="json", include=set(_UNMASKED))
    return {
        **{name: unmasked[name] for name in _UNMASKED},
        "phone_number": mask_numbers(call.phone_number),
        "variables": sorted(mask_numbers(name) for name in call.variables),
        "metadata": sorted(mask_numbers(name) for name in call.metadata),
        "reason": mask_numbers(call.reason) if call.reason else None,
        "hangup_reason": call.hangup_reason,
    }


def mask_request(request: CallRequested) -> dict[str, Any]:
    """Returns a request for a call for an audit entry."""
    unmasked = request.model_dump(
        mode="json", include={"campaign_id", "scheduled_at", "max_retries", "retry_policy"}, exclude_none=True
    )
    return {**unmasked, "phone_number": mask_numbers(request.phone_number)}


def mask_campaign(campaign: Campaign) -> dict[str, Any]:
    """Returns a campaign for an audit entry."""
    masked = campaign.model_dump(mode="json", exclude={"campaign_id"})
    masked["reason"] = mask_numbers(campaign.reason) if campaign.reason else None
    if campaign.terms:
        masked["terms"] |= _masked_terms(campaign.terms)
        for destination in (masked["terms"]["tools"] or {}).get("transfers", ()):
            destination["phone_number"] = mask_numbers(destination["phone_number"])
    return masked


def _masked_terms(terms: CampaignTerms) -> dict[str, Any]:
    """Returns those terms that an audit entry has in another form. They are for all contacts, so texts have digests."""
    return {
        "name": mask_numbers(terms.name) if terms.name else None,
        "script_template": _digest(terms.script_template) if terms.script_template else None,
        "variables": sorted(mask_numbers(name) for name in terms.variables),
        "voicemail": {"message": _digest(terms.voicemail.message)} if terms.voicemail else None,
    }


def _digest(template: str) -> str:
    return f"sha256:{hashlib.sha256(template.encode()).hexdigest()}"
