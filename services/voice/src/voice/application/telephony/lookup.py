"""Finds an attempt at the provider, even if its answer was lost and no callback has arrived.

The provider's records do not name our attempts. Without a known provider call id, a record may be the attempt if it is
a call to the same number and was created shortly after the claim. Another of our attempts may fit as well, for example
a call of another campaign to the same person. A wrong choice would hang up that conversation. So a record is chosen
only if it is certain that it belongs to no other attempt in the log:

- a record whose id the log knows for another attempt is no candidate;
- a record that fits another attempt, whose id is not known either, is ambiguous;
- two records that remain are ambiguous, and so is one without a time.

An ambiguous attempt stays unknown until a callback names it. The log cannot show a call that another system places from
the same caller number, to the same number, within the same seconds.
"""

from datetime import datetime, timedelta

from chassis.event_log import EventLog, StoredEvent
from contracts import DialClaimed
from contracts.call import Call
from voice.application.call_state import load_call
from voice.application.telephony.attempts import MAX_PENDING_SECONDS, Attempt, load_attempt
from voice.ports import CallDirectory, ProviderCall

_CLOCK_TOLERANCE = timedelta(seconds=2)
"""The provider's times are whole seconds of another clock."""
_MAX_PENDING = timedelta(seconds=MAX_PENDING_SECONDS)
_MAX_CLAIM_DISTANCE = _MAX_PENDING + 3 * _CLOCK_TOLERANCE
"""The longest time between two claims that one record may fit; the third tolerance is for the clock of our server."""


class AmbiguousLookup(Exception):
    """Several calls of the provider may be the attempt, or one may be several attempts, so none is chosen."""


async def look_up(calls: EventLog, directory: CallDirectory, call: Call, attempt: Attempt) -> ProviderCall | None:
    """Returns the attempt's call at the provider; none if it has no such call. Raises AmbiguousLookup.

    With a known provider call id it is one request. Otherwise the claims of some seconds are read too, as many as the
    account may dial in this time, and the calls of those that may be to the same number.
    """
    if attempt.provider_call_id is not None:
        return await directory.fetch(attempt.provider_call_id)
    if attempt.claim is None:
        return None
    claimed_at = _claimed_at(attempt.claim)
    listed = await directory.list_calls(call.phone_number, claimed_at - _CLOCK_TOLERANCE, call.caller_id)
    candidates = [candidate for candidate in listed if _may_be_attempt(candidate, claimed_at)]
    if not candidates:
        return None
    # Read after the list: a claim precedes its call, so the claim of every listed call is in the log.
    others = await _other_attempts(calls, call, attempt.claim)
    known_ids = {other.provider_call_id for other in others}
    return _only_one([candidate for candidate in candidates if candidate.provider_call_id not in known_ids], others)


def _only_one(candidates: list[ProviderCall], others: list[Attempt]) -> ProviderCall | None:
    if not candidates:
        return None
    candidate = candidates[0]
    if len(candidates) > 1 or candidate.created_at is None:
        raise AmbiguousLookup(f"{len(candidates)} calls to the number may be the attempt")
    if any(_is_unknown_owner(other, candidate) for other in others):
        raise AmbiguousLookup("the call to the number may be another attempt, whose outcome is unknown too")
    return candidate


def _is_unknown_owner(other: Attempt, candidate: ProviderCall) -> bool:
    if other.claim is None or other.is_undialled or other.provider_call_id is not None:
        return False
    return _may_be_attempt(candidate, _claimed_at(other.claim))


async def _other_attempts(calls: EventLog, call: Call, claim: StoredEvent) -> list[Attempt]:
    """Returns the attempts to the same number that were claimed at about the same time."""
    claimed_at = _claimed_at(claim)
    claims = await calls.read_period(
        DialClaimed.subjects(), claimed_at - _MAX_CLAIM_DISTANCE, claimed_at + _MAX_CLAIM_DISTANCE
    )
    attempts = []
    for other in claims:
        if not isinstance(other.event, DialClaimed) or other.sequence == claim.sequence:
            continue
        if not other.event.may_dial(call.phone_number):
            continue
        call_id, number = other.event.call_id, other.event.attempt
        state = await load_call(calls, call_id)
        if state is None or state.phone_number == call.phone_number:
            granted_sequence = state.granted_sequence if state and state.attempt == number else None
            attempts.append(await load_attempt(calls, call_id, number, granted_sequence=granted_sequence))
    return attempts


def _claimed_at(claim: StoredEvent) -> datetime:
    """Returns when the server stored the claim; the clock of the process that wrote it may be wrong."""
    assert claim.stored_at is not None  # noqa: S101  it was read from the log
    return claim.stored_at


def _may_be_attempt(candidate: ProviderCall, claimed_at: datetime) -> bool:
    earliest, latest = claimed_at - _CLOCK_TOLERANCE, claimed_at + _MAX_PENDING + _CLOCK_TOLERANCE
    return candidate.created_at is None or earliest <= candidate.created_at <= latest
