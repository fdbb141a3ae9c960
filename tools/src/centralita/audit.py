"""Three books that must agree, call by call: the log in NATS, the documents in MongoDB, the simulator's own ledger."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from nats.aio.client import Client

from centralita.projected import Document, call_documents
from centralita.system import System
from chassis.log import Log
from contracts import Call, CallEvent, DialRefused
from contracts.streams import CALLS, facts_of


@dataclass(frozen=True, slots=True)
class Findings:
    """What was compared, and every disagreement."""

    calls: int
    attempts: int
    refused: int
    dials: int
    most_dials_of_one_attempt: int
    problems: tuple[str, ...]


async def audit(client: Client, system: System, ids: Iterable[UUID]) -> Findings:
    """Compares the three books for these calls. Only the log and MongoDB when Twilio is the real one."""
    wanted = list(ids)
    documents = await call_documents(system.mongo_url, wanted)
    dials = await _dials(system.vendors.control) if system.vendors.control else None
    problems: list[str] = []
    attempts = refused = 0
    for call_id in wanted:
        call, not_taken = await _logged(client, call_id)
        attempts += call.attempt
        refused += not_taken
        problems += _differences(call, documents.get(call_id))
        if dials is not None:
            problems += _misdialled(call, not_taken, dials)
    ours = Counter({dial: n for dial, n in (dials or {}).items() if dial[0] in {str(i) for i in wanted}})
    return Findings(len(wanted), attempts, refused, ours.total(), max(ours.values(), default=0), tuple(problems))


async def _logged(client: Client, call_id: UUID) -> tuple[Call, int]:
    recorded = await Log(client, CALLS.name, source="audit").read(facts_of(call_id))
    call = [found.event.call for found in recorded if isinstance(found.event, CallEvent)][-1]
    return call, sum(isinstance(found.event, DialRefused) for found in recorded)


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


def _misdialled(call: Call, refused: int, dials: Counter[tuple[str, str]]) -> list[str]:
    ours = {attempt: n for (call_id, attempt), n in dials.items() if call_id == str(call.call_id)}
    found = [f"{call.call_id}: attempt {attempt} was dialled {n} times" for attempt, n in ours.items() if n > 1]
    if sum(ours.values()) + refused != call.attempt:
        found.append(f"{call.call_id}: {call.attempt} attempts, but {sum(ours.values())} dials and {refused} refusals")
    return found
