"""What the log says of one attempt to dial, and the claim that lets one process alone act on it."""

from dataclasses import dataclass
from datetime import UTC, datetime
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

DIAL_BUDGET_SECONDS = 20.0
"""How long after its claim the last request of an attempt may leave; requests are repeated after a 429 only."""
CLAIM_PATIENCE_SECONDS = 35.0
"""A claim younger than this may still be acted on by a living process: the budget, and the last request's deadline."""

CALLED_OFF = "called off before dialling"


class StillDialing(RetryLater):
    """The attempt was claimed a moment ago, and the provider's answer may be on its way: look at it again later.

    The wait ends when the claim is older than `CLAIM_PATIENCE_SECONDS`.
    """

    def __init__(self) -> None:
        super().__init__(delay=2.0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The facts of one attempt, in the order of the log."""

    facts: tuple[CallEvent, ...]
    claim: StoredEvent | None

    @property
    def provider_call_id(self) -> str | None:
        """Its id at the provider, from the answer to our request or from a callback, whichever is known."""
        placed = (fact.provider_call_id for fact in self.facts if isinstance(fact, DialPlaced))
        reported = (fact.provider_call_id for fact in self.facts if isinstance(fact, TelephonyStatusReported))
        return next(placed, None) or next(reported, None)

    @property
    def accounted_for(self) -> bool:
        """Whether the log says what came of the claim."""
        return any(isinstance(fact, DialPlaced | DialRefused | DialUnknown | DialLookedUp) for fact in self.facts)

    @property
    def never_rang(self) -> bool:
        """Whether it is certain that no phone rang."""
        return any(isinstance(fact, DialRefused) for fact in self.facts)

    def may_be_under_way(self, patience: float) -> bool:
        """Whether a process may be about to send the request, or wait for its answer."""
        if self.claim is None or self.accounted_for:
            return False
        return (datetime.now(UTC) - self.claim.envelope.time).total_seconds() < patience


async def load_attempt(calls: EventLog, call_id: UUID, number: int) -> Attempt:
    """The attempt `number` of a call as the log has it now."""
    recorded = await calls.read((f"dial.*.{call_id}", f"{TelephonyStatusReported.event_name}.{call_id}"))
    facts, claim = [], None
    for entry in recorded:
        fact = entry.event
        if isinstance(fact, DialClaimed) and fact.attempt == number:
            claim = entry
        elif isinstance(fact, DialPlaced | DialRefused | DialUnknown | DialLookedUp | TelephonyStatusReported):
            facts += [fact] if fact.attempt == number else []
    return Attempt(tuple(facts), claim)


async def is_claimed(calls: EventLog, call_id: UUID, number: int) -> bool:
    """Whether the attempt, or a later one, has been claimed."""
    return _is_of(await calls.last(f"{DialClaimed.event_name}.{call_id}"), number)


def _is_of(last: StoredEvent | None, number: int) -> bool:
    return last is not None and isinstance(last.event, DialClaimed) and last.event.attempt >= number


async def rule_out(calls: EventLog, call_id: UUID, number: int, cause: Envelope, reason: str) -> None:
    """Says that the attempt never rang. Taking its claim makes sure that nobody will dial it: only then is it safe.

    Raises StillDialing if somebody else has the claim.
    """
    if not await claim_attempt(calls, call_id, number, cause):
        raise StillDialing
    refused = DialRefused(call_id=call_id, attempt=number, is_permanent=False, reason=reason)
    await calls.append(refused, cause=cause, event_id=f"{cause.id}/refused")


async def claim_attempt(calls: EventLog, call_id: UUID, number: int, cause: Envelope) -> bool:
    """Claims the attempt by compare-and-set; false if it, or a later one, has been claimed before.

    Every claim has an id of its own: with a common one, the server would take a second claim for a repetition of the
    first, and both would hold it.
    """
    claim = DialClaimed(call_id=call_id, attempt=number)
    last = await calls.last(claim.subject)
    if _is_of(last, number):
        return False
    claim_id = str(uuid_utils.uuid7())
    try:
        await calls.append(
            claim, cause=cause, guard=Guard(claim.subject, last.sequence if last else 0), event_id=claim_id
        )
    except Conflict:
        newest = await calls.last(claim.subject)
        return newest is not None and newest.envelope.id == claim_id
    return True
