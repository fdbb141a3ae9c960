"""Finding an attempt at the provider, also when its answer was lost and no callback has come."""

from datetime import datetime, timedelta

from contracts.call import Call
from voice.application.telephony.attempts import CLAIM_PATIENCE_SECONDS, Attempt
from voice.ports import Directory, ProviderCall

_CLOCKS_DIFFER = timedelta(seconds=2)
"""The provider's times are in whole seconds, and its clock is not ours."""
_WINDOW = timedelta(seconds=CLAIM_PATIENCE_SECONDS)


class Ambiguous(Exception):
    """Several calls could be the attempt: nothing is said rather than something wrong."""


async def look_up(directory: Directory, call: Call, attempt: Attempt) -> ProviderCall | None:
    """The attempt as the provider has it; none if it has no such call. Raises Ambiguous."""
    if attempt.provider_call_id is not None:
        return await directory.fetch(attempt.provider_call_id)
    if attempt.claim is None:
        return None
    claimed_at = attempt.claim.envelope.time
    found = await directory.calls_to(call.phone_number, claimed_at - _CLOCKS_DIFFER)
    candidates = [candidate for candidate in found if _may_be_from(candidate, claimed_at)]
    if len(candidates) > 1:
        raise Ambiguous(f"{len(candidates)} calls were made to the number at the time of the claim")
    return candidates[0] if candidates else None


def _may_be_from(candidate: ProviderCall, claimed_at: datetime) -> bool:
    created_at = candidate.created_at
    return created_at is None or claimed_at - _CLOCKS_DIFFER <= created_at <= claimed_at + _WINDOW + _CLOCKS_DIFFER
