"""``python -m bench.projection``: what campaign-stats and MongoDB use per event, with few and with many calls.

The database has the documents of so many calls. Then the same new calls are applied in batches, as after a pause of
half a second. Both sizes take turns, batch by batch, so that the load of the machine is the same for both. With
``--before CHECKOUT``, another checkout with its own ``.venv`` is measured the same way in turns with this one.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from campaign_stats.store import Store, connect
from centralita.embedded.servers import mongo_server
from contracts import CallStatus, CallStatusChanged, DialPlaced, Event, call_id_of
from contracts.examples import CALL, EXAMPLES
from contracts.filters import PROJECTION_FILTERS

HISTORY = (CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS, CallStatus.COMPLETED)
BATCH_CALLS = 35
"""The calls of a batch: those of half a second at 70 calls a second."""
BATCHES = 60
_FILL_CALLS = 100
_TICKS = os.sysconf("SC_CLK_TCK")


def _history(name: str, at: datetime) -> Iterator[Event]:
    call = CALL.model_copy(update={"call_id": call_id_of(name), "created_at": at})
    yield EXAMPLES["call.created"].model_copy(update={"call": call, "occurred_at": at})
    for status in HISTORY:
        changed = call.model_copy(update={"status": status, "attempt": 1})
        yield CallStatusChanged(call=changed, occurred_at=at, previous=call.status, status=status, attempt=1)
        call = changed
        if status is CallStatus.DIALING and DialPlaced.subjects() in PROJECTION_FILTERS:  # older builds do not read it
            placed = f"CA{call.call_id.hex}"
            yield DialPlaced(call_id=call.call_id, attempt=1, provider_call_id=placed)


def _events(names: Sequence[str], at: datetime) -> list[Event]:
    return [event for name in names for event in _history(name, at)]


class _Database:
    """One database that is filled, and then extended in batches."""

    def __init__(self, store: Store, calls: int) -> None:
        self.store = store
        self.calls = calls
        self.sequence = 0
        self.samples: list[tuple[float, float]] = []

    async def apply(self, events: Sequence[Event]) -> None:
        batch = list(enumerate(events, start=self.sequence + 1))
        await self.store.apply(self.sequence, batch, end_sequence=batch[-1][0])
        self.sequence = batch[-1][0]

    async def fill(self) -> None:
        await self.store.prepare()
        for first in range(0, self.calls, _FILL_CALLS):
            names = [f"old-{number}" for number in range(first, min(first + _FILL_CALLS, self.calls))]
            await self.apply(_events(names, CALL.created_at + timedelta(seconds=self.sequence)))

    async def measure(self, number: int, server: int) -> None:
        events = _events([f"new-{number}-{n}" for n in range(BATCH_CALLS)], CALL.created_at + timedelta(minutes=number))
        before = time.process_time(), _server_seconds(server)
        await self.apply(events)
        self.samples.append((time.process_time() - before[0], _server_seconds(server) - before[1]))


def _server_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _child() -> int:
    own = os.getpid()
    return int(Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii").split()[0])


async def _measure(sizes: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, mongo_server(Path(folder)) as url:
        client, server = connect(url, collection_seconds=600), _child()
        databases = [_Database(Store(client, f"calls_{size}"), size) for size in sizes]
        for database in databases:
            await database.fill()
        for number in range(BATCHES):
            for database in databases:
                await database.measure(number, server)
        for database in databases:
            calls = BATCHES * BATCH_CALLS
            own, of_server = (sum(column) * 1000 / calls for column in zip(*database.samples, strict=True))
            median = statistics.median(sample[0] for sample in database.samples) * 1000 / BATCH_CALLS
            events = len(_events(["one"], CALL.created_at))
            print(
                f"{database.calls} calls: {own:.3f} ms of CPU a call of {events} events "
                f"(median of batches {median:.3f}), MongoDB {of_server:.3f} ms",
                flush=True,
            )
        await client.close()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="bench.projection", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--before", type=Path, help="another checkout with its own .venv")
    options = parser.parse_args()
    sizes = [str(size) for size in options.calls]
    if options.before is None:
        asyncio.run(_measure(options.calls))
        return
    here = Path(sys.executable)
    for round_number in range(2):
        for name, python in (("before", options.before / ".venv/bin/python"), ("this checkout", here)):
            print(f"{name}, round {round_number + 1}", flush=True)
            subprocess.run([python, __file__, "--calls", *sizes], check=True)


if __name__ == "__main__":
    main()
