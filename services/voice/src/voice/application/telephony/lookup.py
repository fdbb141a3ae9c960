"""Finds an attempt at the provider, even if its answer was lost and no callback has arrived."""

from datetime import datetime, timedelta

from contracts.call import Call
from voice.application.telephony.attempts import MAX_PENDING_SECONDS, Attempt
from voice.ports import CallDirectory, ProviderCall

_CLOCK_TOLERANCE = timedelta(seconds=2)
"""The provider's times are whole seconds of another clock."""
_MAX_PENDING = timedelta(seconds=MAX_PENDING_SECONDS)


class AmbiguousLookup(Exception):
    """Several calls of the provider may be the attempt, so none is chosen."""


async def look_up(directory: CallDirectory, call: Call, attempt: Attempt) -> ProviderCall | None:
    """Returns the attempt's call at the provider; none if it has no such call. Raises AmbiguousLookup.

    Without a provider call id, it is the one call to this number that was created shortly after the claim.
    """
    if attempt.provider_call_id is not None:
        return await directory.fetch(attempt.provider_call_id)
    if attempt.claim is None:
        return None
    claimed_at = attempt.claim.envelope.time
    listed = await directory.list_calls(call.phone_number, claimed_at - _CLOCK_TOLERANCE)
    candidates = [candidate for candidate in listed if _may_be_attempt(candidate, claimed_at)]
    if len(candidates) > 1:
        raise AmbiguousLookup(f"{len(candidates)} calls to the number were created in the time after the claim")
    return candidates[0] if candidates else None


def _may_be_attempt(candidate: ProviderCall, claimed_at: datetime) -> bool:
    earliest, latest = claimed_at - _CLOCK_TOLERANCE, claimed_at + _MAX_PENDING + _CLOCK_TOLERANCE
    return candidate.created_at is None or earliest <= candidate.created_at <= latest
