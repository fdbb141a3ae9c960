"""``make bench``: the cost of each operation as a ratio to a baseline, both measured alternately in one run.

The baseline is the underlying operation, such as a publish without a guard. The ratio is comparable between machines;
the microseconds are not.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import nats
from rich.console import Console
from rich.table import Table

from bench.commands import MAX_CANCEL_SECONDS, QUEUED, cancel_times
from bench.contacts import MAX_RATIO, ContactFigures, connected
from bench.edge import (
    FORM_OF_A_MEGABYTE,
    LARGEST_FORM,
    MAX_MICROSECONDS,
    STATUS_FORM,
    edge_requests,
    status_signature,
)
from bench.policy import POLICY
from bench.replay import log_comparisons
from call_orchestrator.application.call_terms import new_call
from call_orchestrator.application.snapshots import call_after
from call_orchestrator.domain import decisions
from call_orchestrator.domain.inputs import TelephonyStatusReported
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Dialing, Pending
from centralita.docs.state_machine import NOW, TERMS
from centralita.embedded.servers import mongo_server, nats_server
from chassis import tracing
from chassis.event_log import EventLog, Guard
from chassis.keyring import Keyring
from chassis.provision import provision
from contracts import CallCreated, CallRequested, decode
from contracts.filters import call_state_filter
from contracts.streams import CALLS
from contracts.vocabulary import TelephonyStatus
from conversation.domain.sentences import sentences_of
from sealing import MasterKey

ROUNDS = 7
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SIZE = 400
CONTACTS = 2_000
"""Contacts of one round; `python -m bench.contacts` measures files of 10,000 and 1,000,000."""
SENTENCE = "Vaya a las 3. 30 p. m. a ver al Dr. Ruiz... "
Work = Callable[[], Awaitable[None]]


def created() -> CallCreated:
    """Returns an event of typical size."""
    request = CallRequested(
        request_id="bench",
        campaign_id="bench",
        contact_id="1",
        phone_number="+12125550123",
        script_template="Hello {{name}}.\n\n" + "Remind them of their appointment. " * 10,
        variables={"name": "Ada"},
    )
    now = datetime.now(UTC)
    call = new_call(uuid4(), request, POLICY, now)
    event = decisions.CallCreated(state=Pending(attempt=0, due_at=now))
    return CallCreated(call=call_after(call, event, now), occurred_at=now)


async def seconds(work: Work) -> float:
    """Returns the wall-clock time of one run."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def compare(measured: Work, baseline: Work) -> tuple[float, float, float]:
    """Runs both in turn, in pairs. Returns the median seconds of each, and the median ratio of a pair."""
    pairs = [(await seconds(measured), await seconds(baseline)) for _ in range(ROUNDS)]
    measured_seconds, baseline_seconds = (statistics.median(side) for side in zip(*pairs, strict=True))
    return measured_seconds, baseline_seconds, statistics.median(a / b for a, b in pairs)


async def measure_bus(url: str, table: Table) -> None:
    """Compares a guarded append with a publish, and loading a call with a direct get."""
    client = await nats.connect(url)
    js = client.jetstream()
    await provision(client)
    log = EventLog(client, CALLS.name, source="bench")
    event = created()
    body = event.model_dump_json().encode()

    async def appends() -> None:
        async def one() -> None:
            fresh = event.model_copy(update={"call": event.call.model_copy(update={"call_id": uuid4()})})
            await log.append(fresh, guard=Guard(call_state_filter(fresh.call_id), 0))

        await asyncio.gather(*(one() for _ in range(SIZE)))

    async def publishes() -> None:
        await asyncio.gather(*(js.publish(f"call.created.{uuid4()}.pending", body) for _ in range(SIZE)))

    async def loads() -> None:
        await asyncio.gather(*(log.last(call_state_filter(event.call_id)) for _ in range(SIZE)))

    async def gets() -> None:
        await asyncio.gather(*(js.get_last_msg(CALLS.name, event.subject, direct=True) for _ in range(SIZE)))

    await log.append(event)
    row(
        table,
        "guarded append of a decision",
        "publish of the same body without a guard",
        await compare(appends, publishes),
    )
    row(table, "loading a call", "direct get of the same message by nats-py alone", await compare(loads, gets))
    await client.close()


async def measure_log(nats_url: str, mongo_url: str, table: Table) -> None:
    """Compares computations on a recorded log with reading it."""
    async with log_comparisons(nats_url, mongo_url) as comparisons:
        for one in comparisons:
            figures = await compare(one.measured, one.baseline_work)
            row(table, one.name, one.baseline, figures, one.size)


async def measure_memory(table: Table) -> None:
    """Compares a decision, and a span while traces are off, with decoding one event."""
    event = created()
    body = event.model_dump_json().encode()
    state = Dialing(attempt=1, dialed_at=NOW, deadline_at=NOW + timedelta(seconds=50))
    busy = TelephonyStatusReported(attempt=1, status=TelephonyStatus.BUSY)

    async def decides() -> None:
        for _ in range(SIZE * 10):
            decide(state, busy, TERMS, NOW)

    async def decodings() -> None:
        for _ in range(SIZE * 10):
            decode(event.subject, body)

    async def spans() -> None:
        for _ in range(SIZE * 10):
            with tracing.span("process bench", tracing.PROCESS, TRACEPARENT, call_id="bench"):
                pass

    async def cuts_of_a_long_text() -> None:
        sentences_of(SENTENCE * SIZE * 10)

    async def cuts_of_short_texts() -> None:
        for _ in range(10):
            sentences_of(SENTENCE * SIZE)

    row(
        table,
        "cutting a text into sentences",
        "ten texts of a tenth of its length",
        await compare(cuts_of_a_long_text, cuts_of_short_texts),
        SIZE * 10,
    )
    row(table, "a decision of the state machine", "decoding one event", await compare(decides, decodings), SIZE * 10)
    row(table, "a span while traces are off", "decoding one event", await compare(spans, decodings), SIZE * 10)


async def measure_edge(table: Table) -> None:
    """Compares requests with the cheapest that the edge refuses."""
    async with edge_requests() as request:
        unsigned = request(b"", "")
        large = await compare(request(FORM_OF_A_MEGABYTE, ""), unsigned)
        forged = await compare(request(LARGEST_FORM, "forged"), unsigned)
        status = await compare(request(urlencode(STATUS_FORM).encode(), status_signature()), unsigned)
    limit = f"at most {MAX_MICROSECONDS:,} µs"
    row(table, f"a form of 1 MB without a signature ({limit})", "an empty form without a signature", large, 1)
    row(table, "a status callback, without its append", "an empty form without a signature", status, 1)
    row(table, f"the largest form with a wrong signature ({limit})", "an empty form without a signature", forged, 1)


def row(table: Table, name: str, baseline: str, figures: tuple[float, float, float], size: int = SIZE) -> None:
    """Adds a row: microseconds for one operation of each side, and the ratio."""
    measured, baseline_figure = (f"{seconds / size * 1e6:.1f}" for seconds in figures[:2])
    table.add_row(name, measured, baseline, baseline_figure, f"{figures[2]:.2f}")


async def measure_cancel(url: str, table: Table) -> None:
    """Compares a cancel of an existing call behind queued requests with one that nothing precedes."""
    name = f"a cancel of a call behind {QUEUED:,} queued requests (at most {MAX_CANCEL_SECONDS} s)"
    row(table, name, "the same cancel while nothing is queued", await cancel_times(url), size=1)


async def measure_contacts(url: str, table: Table) -> None:
    """Compares an import of contacts, and its dry run, with their unavoidable parts."""
    client = await connected(url)
    keyring = Keyring(client, MasterKey(bytes(32)))
    await keyring.start()
    figures = ContactFigures(client, keyring)
    dry = await compare(lambda: figures.import_file(CONTACTS, is_dry_run=True), lambda: figures.look_up(CONTACTS))
    row(table, "a contact in a dry run", "parsing, and the look-up of number and zone", dry, CONTACTS)
    imported = await compare(
        lambda: figures.import_file(CONTACTS, is_dry_run=False), lambda: figures.look_up_and_publish(CONTACTS)
    )
    name = f"a contact in an import (at most {MAX_RATIO} times)"
    row(table, name, "parsing, look-up and a publish by nats-py", imported, CONTACTS)
    await client.close()


async def main() -> None:
    """Runs all measurements and prints the table."""
    table = Table(
        title=f"Microseconds an operation (medians of {ROUNDS} alternating rounds), and the ratio to a baseline"
    )
    for column in ("operation", "µs", "baseline", "µs", "ratio"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder)) as url:
        await measure_bus(url, table)
        with mongo_server(Path(folder) / "mongo") as mongo_url:
            await measure_log(url, mongo_url, table)
    with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder)) as url:
        await measure_cancel(url, table)
    with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder)) as url:
        await measure_contacts(url, table)
    await measure_memory(table)
    await measure_edge(table)
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
