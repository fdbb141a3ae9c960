"""``python -m bench.flood``: requests at ten times capacity are refused with a reason, and all accepted calls end.

The campaign is paused, so that its calls fill the backlog, and requests arrive on the bus at ten times the limit. Every
request has an outcome. Then the campaign is resumed, and all accepted calls end. It prints the counts, and the memory
of each service before and after a second flood of the same size. Exit code 1: a rule was broken.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console
from rich.table import Table

from centralita.demo.documents import wait_until_projected
from centralita.embedded.fictional_numbers import fictional_number
from centralita.embedded.system import System, running
from chassis.stream_api import jetstream_of
from contracts import CallRequested, CommandOutcome, call_id_of, outcome_subject
from contracts.askers import COMMAND_LINE
from contracts.queries import OUTCOMES
from contracts.streams import CALLS
from contracts.vocabulary import RefusalCode

LIMIT = 1_000
OVERLOAD = 10
CAMPAIGN = "flood"
MAX_GROWTH_MB = 30
MAX_PENDING = 500
"""Requests whose acknowledgement by the stream is awaited at a time."""


@dataclass(frozen=True, slots=True)
class Flood:
    """What became of the requests of one flood, by request id."""

    accepted: frozenset[str]
    refused: Mapping[str, CommandOutcome]
    seconds: float


@asynccontextmanager
async def flooded_system(folder: Path, limit: int) -> AsyncIterator[tuple[System, Client]]:
    """Runs the system with this limit; every callee is busy, so calls are short."""
    settings = {
        "MAX_BACKLOG": str(limit),
        "MAX_CONCURRENT_CALLS": "20",
        "TWILIO_CALLS_PER_SECOND": "100",
        "LOG_LEVEL": "WARNING",
        "ALLOWED_COUNTRIES": "US",
    }
    async with running(folder, speed=20, settings=settings, behaviours="busy=1") as system:
        client = await nats.connect(system.nats_url)
        try:
            yield system, client
        finally:
            await client.close()


def request(request_id: str) -> CallRequested:
    """Returns a request that is due now. The number at the end of its id determines that of the callee."""
    *_, index = request_id.split("-")
    return CallRequested(
        request_id=request_id,
        campaign_id=CAMPAIGN,
        contact_id="1",
        phone_number=fictional_number(int(index) if index.isdecimal() else 0),
        script_template="Hello.",
        language="en",
        max_retries=0,
    )


async def flood(client: Client, run: str, count: int) -> Flood:
    """Publishes `count` requests as fast as the stream stores them, and returns when each has an outcome."""
    ids = {outcome_subject(f"{run}-{number}"): f"{run}-{number}" for number in range(count)}
    outcomes: dict[str, CommandOutcome] = {}
    is_complete = asyncio.Event()

    async def on_outcome(message: Msg) -> None:
        if request_id := ids.get(message.subject):
            outcomes[request_id] = CommandOutcome.model_validate_json(message.data)
            if len(outcomes) == count:
                is_complete.set()

    began_at = time.monotonic()
    subscription = await client.subscribe(OUTCOMES, cb=on_outcome)
    js = client.jetstream(publish_async_max_pending=MAX_PENDING)
    for request_id in ids.values():
        one = request(request_id)
        headers = {"ce-id": request_id, "ce-source": COMMAND_LINE, "Nats-Msg-Id": request_id}  # the user operator
        await js.publish_async(one.subject, one.body(), headers=headers)
    async with asyncio.timeout(60 + count / 20):
        await is_complete.wait()
    await subscription.unsubscribe()
    accepted = frozenset(request_id for request_id, outcome in outcomes.items() if outcome.accepted)
    refused = {request_id: outcome for request_id, outcome in outcomes.items() if not outcome.accepted}
    return Flood(accepted, refused, time.monotonic() - began_at)


async def set_paused(system: System, *, is_paused: bool) -> None:
    """Pauses or resumes the campaign, and returns when that is decided."""
    act = "pause" if is_paused else "resume"
    async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=30) as http:
        answer = await http.post(f"/api/v1/campaigns/{CAMPAIGN}/{act}")
    answer.raise_for_status()


async def drain(system: System, accepted: frozenset[str]) -> None:
    """Resumes the campaign and returns when all accepted calls have ended."""
    await set_paused(system, is_paused=False)
    await wait_until_projected(system.mongo_url, map(call_id_of, accepted), timeout=60 + len(accepted))


async def calls_in_log(client: Client) -> int:
    """Returns how many calls have events in the log."""
    info = await jetstream_of(client, CALLS.name).stream_info(CALLS.name, subjects_filter="call.created.*.*")
    return len(info.state.subjects or {})


def memory_mb(system: System) -> dict[str, float]:
    """Returns the resident memory of each service."""
    found = {}
    for name, service in system.services.items():
        assert service.process
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        found[name] = int(line.split()[1]) / 1024
    return found


async def main() -> int:
    """Floods the system twice, prints what became of the requests, and returns the exit code."""
    console, count = Console(), LIMIT * OVERLOAD
    with tempfile.TemporaryDirectory() as folder:
        async with flooded_system(Path(folder), LIMIT) as (system, client):
            floods, memory = [], []
            for run in ("first", "second"):
                await set_paused(system, is_paused=True)
                floods.append(await flood(client, run, count))
                await drain(system, floods[-1].accepted)
                memory.append(memory_mb(system))
            calls = await calls_in_log(client)
    table = Table(title=f"{count} requests at a limit of {LIMIT} waiting calls, twice")
    for column in ("flood", "accepted", "refused", "ended", "decided a second"):
        table.add_column(column)
    for run, one in zip(("first", "second"), floods, strict=True):
        figures = (len(one.accepted), len(one.refused), len(one.accepted), round(count / one.seconds))
        table.add_row(run, *map(str, figures))
    console.print(table)
    growth = {name: after - memory[0][name] for name, after in memory[1].items()}
    for name, grown in growth.items():
        console.print(f"{name}: {memory[0][name]:.0f} MB after the first flood, {grown:+.1f} MB after the second")
    codes = Counter(outcome.code for one in floods for outcome in one.refused.values())
    is_ok = set(codes) == {RefusalCode.BACKLOG_FULL} and calls == sum(len(one.accepted) for one in floods)
    return 0 if is_ok and max(growth.values()) <= MAX_GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
