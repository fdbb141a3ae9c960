"""Calls and campaigns as the audit shows them: enough to see what an act did, nothing about whom it was done to."""

import hashlib
import re
from typing import Any

from contracts import Call
from edge.application.campaigns import Campaign

_ID_OR_NUMBER = re.compile(r"(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)|\+?[0-9](?:[ ().-]{0,2}[0-9]){6,}")
"""An id is found first, so that its digits are not taken for a number."""
_PLAIN = (
    "status",
    "attempt",
    "due_at",
    "language",
    "max_retries",
    "retry_delay_seconds",
    "call_timeout_seconds",
    "ended_at",
)


def masked(text: str) -> str:
    """The text without the middle of whatever in it could be a phone number: ``+1•••••••••23``."""
    return _ID_OR_NUMBER.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    whole = found[0]
    return whole if found["id"] else f"{whole[:2]}{'•' * (len(whole) - 4)}{whole[-2:]}"


def shown(call: Call) -> dict[str, Any]:
    """What of a call is in an audit entry. The script by its digest, variables and metadata by their names.

    Their words, which are about a person, stand in the log of the call, and there alone.
    """
    plain = call.model_dump(mode="json", include=set(_PLAIN))
    return {
        **{name: plain[name] for name in _PLAIN},
        "phone_number": masked(call.phone_number),
        "script_template": f"sha256:{hashlib.sha256(call.script_template.encode()).hexdigest()}",
        "variables": sorted(masked(name) for name in call.variables),
        "metadata": sorted(masked(name) for name in call.metadata),
        "reason": masked(call.reason) if call.reason else None,
        "hangup_reason": call.hangup_reason,
    }


def shown_campaign(campaign: Campaign) -> dict[str, Any]:
    """What of a campaign is in an audit entry."""
    reason = masked(campaign.reason) if campaign.reason else None
    return {**campaign.model_dump(mode="json", exclude={"campaign_id"}), "reason": reason}
