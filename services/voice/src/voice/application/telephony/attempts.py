"""The recorded state of one attempt, and its claim (theory: `dialing`)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import uuid_utils

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from chassis.retry_later import RetryLater
from contracts import (
    CallEvent,
    DialClaimed,
    DialLookedUp,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Envelope,
    TelephonyStatusReported,
)
from contracts.call import Call
from contracts.filters import call_facts_filter

REQUEST_WINDOW_SECONDS = 20.0
"""The requests of an attempt are sent within this time after its claim."""
MAX_PENDING_SECONDS = 35.0
"""A claim of this age is no longer acted on: the request window and the deadline of the last request have passed."""

CALLED_OFF = "called off before dialling"

_KINDS = (DialClaimed, DialPlaced, DialRefused, DialUnknown, DialLookedUp, TelephonyStatusReported)


class AttemptInProgress(RetryLater):
    """Another process has claimed the attempt and may still be dialling it.

    The wait ends when the claim is older than `MAX_PENDING_SECONDS`.
    """

    def __init__(self) -> None:
        super().__init__(delay=2.0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: its claim, and its other events in log order."""

    events: tuple[CallEvent, ...]
    claim: StoredEvent | None

    @property
    def provider_call_id(self) -> str | None:
        """The call's id at the provider: from the answer to our request, a callback or a lookup; none if unknown."""
        for kind in (DialPlaced, TelephonyStatusReported, DialLookedUp):
            for event in self.events:
                if isinstance(event, kind) and event.provider_call_id is not None:
                    return event.provider_call_id
        return None

    @property
    def has_outcome(self) -> bool:
        """Whether an outcome follows the claim."""
        return any(isinstance(event, DialPlaced | DialRefused | DialUnknown | DialLookedUp) for event in self.events)

    @property
    def is_undialled(self) -> bool:
        """Whether the attempt certainly did not reach the network."""
        return any(isinstance(event, DialRefused) for event in self.events)

    def may_be_in_progress(self, now: datetime, max_pending_seconds: float) -> bool:
        """Whether a process may be about to send the request or be waiting for its answer.

        `now`: the server's time, because the claim has the time at which the server stored it.
        """
        if self.claim is None or self.has_outcome:
            return False
        return (now - self.claim.envelope.time).total_seconds() < max_pending_seconds


async def load_attempt(calls: EventLog, call_id: UUID, number: int, *, granted_sequence: int | None = None) -> Attempt:
    """Returns the attempt `number` of a call.

    With `granted_sequence`, that of its grant, one page after it is read. Without it (a log of an older build, or an
    earlier attempt), all events of the call's attempts are.
    """
    events, claim = [], None
    for stored in await _read_attempts(calls, call_id, granted_sequence):
        event = stored.event
        if isinstance(event, DialClaimed) and event.attempt == number:
            claim = stored
        elif isinstance(event, DialPlaced | DialRefused | DialUnknown | DialLookedUp | TelephonyStatusReported):
            events += [event] if event.attempt == number else []
    return Attempt(tuple(events), claim)


async def _read_attempts(calls: EventLog, call_id: UUID, granted_sequence: int | None) -> list[StoredEvent]:
    """Returns the events of the call's attempts, as new as the leader has them.

    If none follows the grant, the attempt has none yet, or the position of the grant is that of another log: an import
    gives events other positions.
    """
    if granted_sequence is not None:
        facts = call_facts_filter(call_id)
        newest = await calls.last(facts)
        if newest is None:
            return []
        if newest.sequence > granted_sequence:
            return await calls.read_after(facts, granted_sequence, known_sequence=newest.sequence, kinds=_KINDS)
    return await calls.read((f"dial.*.{call_id}", TelephonyStatusReported.subject_for(call_id)))


async def find_placed(calls: EventLog, call_id: UUID, number: int) -> DialPlaced | None:
    """Returns the event that the provider accepted the attempt; none if the answering node has none.

    One read of any node. An attempt with this event was dialled, so a hang-up needs nothing else of it.
    """
    newest = await calls.last_of_any_node(DialPlaced.subject_for(call_id))
    placed = newest.event if newest else None
    return placed if isinstance(placed, DialPlaced) and placed.attempt == number else None


async def is_claimed(calls: EventLog, call_id: UUID, number: int) -> bool:
    """Returns whether the attempt, or a later one, has been claimed."""
    return _covers(await calls.last(DialClaimed.subject_for(call_id)), number)


async def claim_attempt(calls: EventLog, call: Call, number: int, cause: Envelope) -> bool:
    """Claims the attempt by compare-and-set. Returns false if it, or a later one, has been claimed before.

    No claim precedes that of the first attempt, so its guard is known without a read.

    Each claim has its own id. With a common id, the server would accept a second claim as a repetition of the first.
    """
    claim = DialClaimed.of(call, number)
    last = await calls.last(claim.subject) if number > 1 else None
    if _covers(last, number):
        return False
    claim_id = str(uuid_utils.uuid7())
    guard = Guard(claim.subject, last.sequence if last else 0)
    try:
        await calls.append(claim, cause=cause, guard=guard, event_id=claim_id)
    except Conflict:
        newest = await calls.last(claim.subject)
        return newest is not None and newest.envelope.id == claim_id
    return True


async def record_undialled(calls: EventLog, call: Call, cause: Envelope, reason: str) -> None:
    """Appends `dial.refused` for the current attempt, which has no claim, after claiming it: no process dials it then.

    Raises AttemptInProgress if another process has claimed it.
    """
    if not await claim_attempt(calls, call, call.attempt, cause):
        raise AttemptInProgress
    refused = DialRefused(call_id=call.call_id, attempt=call.attempt, is_permanent=False, reason=reason)
    await calls.append(refused, cause=cause, event_id=f"{cause.id}/refused")


def _covers(claim: StoredEvent | None, number: int) -> bool:
    return claim is not None and isinstance(claim.event, DialClaimed) and claim.event.attempt >= number
