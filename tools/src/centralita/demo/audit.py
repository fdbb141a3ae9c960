"""Three books that must agree, call by call: the log in NATS, the documents in MongoDB, the simulator's own ledger."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from nats.aio.client import Client

from centralita.demo.projected import Document, call_documents
from centralita.embedded.system import System
from chassis.event_log import EventLog
from contracts import Call, CallDecision, DialRefused, DialUnknown
from contracts.streams import CALLS, call_filters


@dataclass(frozen=True, slots=True)
class Findings:
    """What was compared, and every disagreement.

    `refused`: attempts that the provider refused. `unsent`: attempts that were claimed by a process that died before it
    sent anything; they are in the log as unknown and in nobody's ledger.
    """

    calls: int
    attempts: int
    refused: int
    unsent: int
    dials: int
    most_dials_of_one_attempt: int
    problems: tuple[str, ...]


async def audit(client: Client, system: System, ids: Iterable[UUID]) -> Findings:
    """Compares the three books for these calls. Only the log and MongoDB when Twilio is the real one."""
    wanted = list(ids)
    documents = await call_documents(system.mongo_url, wanted)
    dials = await _dials(system.vendors.control) if system.vendors.control else None
    problems: list[str] = []
    attempts = refused = unsent = 0
    for call_id in wanted:
        call, not_taken, unknown = await _logged(client, call_id)
        attempts += call.attempt
        refused += not_taken
        problems += _differences(call, documents.get(call_id))
        if dials is not None:
            lost = sum((str(call_id), str(attempt)) not in dials for attempt in unknown)
            unsent += lost
            problems += _misdialled(call, not_taken + lost, dials)
    ours = Counter({dial: n for dial, n in (dials or {}).items() if dial[0] in {str(i) for i in wanted}})
    most = max(ours.values(), default=0)
    return Findings(len(wanted), attempts, refused, unsent, ours.total(), most, tuple(problems))


async def _logged(client: Client, call_id: UUID) -> tuple[Call, int, set[int]]:
    """The call as it stands, how many of its attempts were refused, and which are or were unknown."""
    events = [found.event for found in await EventLog(client, CALLS.name, source="audit").read(call_filters(call_id))]
    call = [event.call for event in events if isinstance(event, CallDecision)][-1]
    refused = sum(isinstance(event, DialRefused) for event in events)
    return call, refused, {event.attempt for event in events if isinstance(event, DialUnknown)}


async def _dials(control: str) -> Counter[tuple[str, str]]:
    """How often each attempt was dialled, by the simulator's ledger: (call id, attempt), from the callback's path."""
    async with httpx.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{control}/_simulator/ledger")
    calls: list[dict[str, Any]] = answer.raise_for_status().json()["calls"]
    paths = [httpx.URL(call["url"]).path.split("/") for call in calls]
    return Counter((path[-2], path[-1]) for path in paths)


def _differences(call: Call, document: Document | None) -> list[str]:
    if document is None:
        return [f"{call.call_id}: not in MongoDB"]
    said = {"status": str(call.status), "attempt": call.attempt}
    return [
        f"{call.call_id}: {name} is {value} in the log and {document.get(name)} in MongoDB"
        for name, value in said.items()
        if document.get(name) != value
    ]


def _misdialled(call: Call, not_dialled: int, dials: Counter[tuple[str, str]]) -> list[str]:
    ours = {attempt: n for (call_id, attempt), n in dials.items() if call_id == str(call.call_id)}
    found = [f"{call.call_id}: attempt {attempt} was dialled {n} times" for attempt, n in ours.items() if n > 1]
    if sum(ours.values()) + not_dialled != call.attempt:
        found.append(f"{call.call_id}: {call.attempt} attempts, {sum(ours.values())} dials, {not_dialled} not dialled")
    return found
