"""Compares three independent records of each call: the log, the documents in MongoDB, the Twilio simulator's ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from nats.aio.client import Client

from centralita.demo.documents import Document, call_documents, campaign_document
from centralita.embedded import ledger
from centralita.embedded.system import System
from chassis.event_log import EventLog
from contracts import FINAL_STATUSES, Call, CallDecision, DialClaimed, DialPlaced, DialRefused, DialUnknown
from contracts.filters import call_filters
from contracts.streams import CALLS

Dials = Mapping[str, Counter[str]]
"""How often each attempt was dialled: by call id, then by attempt."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Totals of the compared records, and `problems`: every disagreement.

    `refused`: attempts that the provider refused. `unsent`: attempts whose process died between the claim and the
    request; the log has no outcome of them or an unknown one, the ledger does not have them.
    """

    calls: int
    attempts: int
    refused: int
    unsent: int
    dials: int
    max_dials_of_one_attempt: int
    problems: tuple[str, ...]


async def reconcile(client: Client, system: System, ids: Iterable[UUID]) -> Reconciliation:
    """Compares the records of these calls, which must be all calls of their campaigns.

    With the real Twilio there is no ledger, so only log and MongoDB.
    """
    call_ids = list(ids)
    calls: list[Call] = []
    documents = await call_documents(system.mongo_url, call_ids)
    dials = await _dials(system.vendors.control) if system.vendors.control else None
    problems: list[str] = []
    attempts = refused = unsent = 0
    for call_id in call_ids:
        call, refused_attempts, unknown_attempts = await _logged(client, call_id)
        calls.append(call)
        attempts += call.attempt
        refused += refused_attempts
        problems += _document_differences(call, documents.get(call_id))
        if dials is not None:
            dialled = dials.get(str(call_id), Counter())
            never_sent = sum(str(attempt) not in dialled for attempt in unknown_attempts)
            unsent += never_sent
            problems += _dial_differences(call, refused_attempts + never_sent, dialled)
    for campaign_id in sorted({call.campaign_id for call in calls}):
        document = await campaign_document(system.mongo_url, campaign_id)
        problems += _counter_differences([call for call in calls if call.campaign_id == campaign_id], document)
    counted = [count for call_id in call_ids for count in (dials or {}).get(str(call_id), Counter()).values()]
    return Reconciliation(
        len(call_ids), attempts, refused, unsent, sum(counted), max(counted, default=0), tuple(problems)
    )


async def _logged(client: Client, call_id: UUID) -> tuple[Call, int, set[int]]:
    """Returns the call's last snapshot, the number of refused attempts, and those without a known outcome.

    A claim without an outcome: its process died, and a settlement ended the attempt before the order was delivered
    again.
    """
    log = EventLog(client, CALLS.name, source="reconciliation")
    events = [stored.event for stored in await log.read(call_filters(call_id))]
    call = [event.call for event in events if isinstance(event, CallDecision)][-1]
    refused = {event.attempt for event in events if isinstance(event, DialRefused)}
    begun = {event.attempt for event in events if isinstance(event, DialClaimed | DialUnknown)}
    placed = {event.attempt for event in events if isinstance(event, DialPlaced)}
    return call, len(refused), begun - refused - placed


async def _dials(control_url: str) -> Dials:
    dials: dict[str, Counter[str]] = defaultdict(Counter)
    for dial in await ledger.dials(control_url):
        dials[dial.call_id][dial.attempt] += 1
    return dials


def _document_differences(call: Call, document: Document | None) -> list[str]:
    if document is None:
        return [f"{call.call_id}: not in MongoDB"]
    expected = {"status": str(call.status), "attempt": call.attempt}
    return [
        f"{call.call_id}: {name} is {value} in the log and {document.get(name)} in MongoDB"
        for name, value in expected.items()
        if document.get(name) != value
    ]


def _counter_differences(calls: list[Call], document: Document) -> list[str]:
    """Compares the counters of one campaign with its calls."""
    statuses = Counter(call.status for call in calls)
    expected = {"total": len(calls), **{status.value: statuses[status] for status in FINAL_STATUSES}}
    return [
        f"campaign {calls[0].campaign_id}: {value} calls are {name} in the log and {document.get(name)} in MongoDB"
        for name, value in expected.items()
        if document.get(name) != value
    ]


def _dial_differences(call: Call, not_dialled: int, by_attempt: Counter[str]) -> list[str]:
    problems = [
        f"{call.call_id}: attempt {attempt} was dialled {count} times"
        for attempt, count in by_attempt.items()
        if count > 1
    ]
    total = sum(by_attempt.values())
    if total + not_dialled != call.attempt:
        problems.append(f"{call.call_id}: {call.attempt} attempts, {total} dials, {not_dialled} not dialled")
    return problems
