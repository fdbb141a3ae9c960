"""What follows once a request or command is decided: its sender gets the outcome, and personal data in clear is erased.

Requests of the edge are sealed, and stay. One that led to no call of its person is kept as long as its campaign permits
(`application.retention_periods`). Upstream systems have no keys, so their requests arrive in clear. What is decided on
one is in the log, sealed, and so `replay verify` needs no such request. Only the key shows that a request is sealed:
upstream systems may write the header ``ce-person``, too. So a request that no key opens is erased as well.

A command for a do-not-call list is erased, too: the state of the number has its result, and files of numbers would
fill the stream. One that is sealed is deleted without overwriting it.

An erased request that no decision in the log shows is recorded there first (ADR 49).

If the process dies before the erasure, the request is delivered again. Its decision is found then, and the rest is
repeated.
"""

from nats.aio.client import Client

from call_orchestrator.application.call_outcomes import CallOutcome
from call_orchestrator.application.retention_periods import RetentionPeriods
from call_orchestrator.ports import ErasedRequests
from chassis.event_log import StoredEvent
from contracts import CommandOutcome, ErasedRequest, NumberCommand, PersonalRequest, published_outcome_subject
from contracts.invalid import MAX_REASON_LENGTH, bounded
from contracts.vocabulary import RequestResult


class Handled:
    """Ends requests and commands."""

    def __init__(self, client: Client, requests: ErasedRequests, retention: RetentionPeriods) -> None:
        self._client = client
        self._requests = requests
        self._retention = retention

    async def end(self, stored: StoredEvent, outcome: CommandOutcome) -> None:
        """Publishes the outcome, on a subject of who asked (`contracts.askers`); no header names a subject."""
        subject = published_outcome_subject(stored.envelope.source, stored.envelope.id)
        placed = outcome.model_copy(update={"request_sequence": stored.sequence})
        await self._client.publish(subject, placed.model_dump_json().encode())
        is_in_clear = not stored.is_opened and isinstance(stored.event, PersonalRequest)
        if is_in_clear or isinstance(stored.event, NumberCommand):
            record = _record_of(stored, outcome)
            await self._requests.erase(stored.sequence, record, is_overwritten=is_in_clear)
        elif isinstance(outcome, CallOutcome):
            await self._retention.note_request(stored, outcome)


def _record_of(stored: StoredEvent, outcome: CommandOutcome) -> ErasedRequest | None:
    """Returns what became of a request; None if the decision of its call shows it."""
    if isinstance(outcome, CallOutcome) and outcome.decided_sequence == stored.sequence:
        return None
    return ErasedRequest(
        sequence=stored.sequence,
        result=RequestResult.ACCEPTED if outcome.accepted else RequestResult.REFUSED,
        reason="; ".join(bounded(outcome.reasons))[:MAX_REASON_LENGTH],
        call_id=str(outcome.call_id) if outcome.call_id else None,
        campaign_id=outcome.campaign_id,
        number_digest=stored.event.digest if isinstance(stored.event, NumberCommand) else None,
    )
