"""``python -m bench.pace``: use of rate limit and slots with 1, 2 and 3 replicas, by the provider's ledger.

It runs two campaigns for each number of replicas. The first calls busy lines: calls are short, so the rate limit
decides. The second calls phones that ring unanswered: calls are long, so the slots decide. The simulated account
accepts more dials than our setting permits. Exit code 1: a limit was exceeded, or less than 95 % of it was used.
"""

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nats
from rich.console import Console
from rich.table import Table

from centralita.demo.campaign import publish
from centralita.demo.documents import wait_until_projected
from centralita.embedded.fictional_numbers import fictional_number
from centralita.embedded.ledger import (
    dials,
    max_concurrent,
    max_dials_in_window,
    rate_utilization,
    set_callee_behaviour,
    slot_utilization,
)
from centralita.embedded.system import running
from contracts import CallRequested, call_id_of

REPLICAS = (1, 2, 3)
SPEED = 5.0
DIALS_PER_SECOND = 4
SLOTS = 6
CALL_COUNTS = {"busy": 80, "no_answer": 42}
MIN_UTILIZATION = 0.95
SETTINGS = {
    "TWILIO_CALLS_PER_SECOND": str(DIALS_PER_SECOND),
    "MAX_CONCURRENT_CALLS": str(SLOTS),
    "LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """The highest rate and concurrency with one number of replicas, and the used share of each limit."""

    replicas: int
    max_dials_in_a_second: int
    rate_utilization: float
    max_concurrent: int
    slot_utilization: float

    @property
    def is_ok(self) -> bool:
        """Whether both limits were kept and used."""
        within = self.max_dials_in_a_second <= DIALS_PER_SECOND and self.max_concurrent <= SLOTS
        return within and min(self.rate_utilization, self.slot_utilization) >= MIN_UTILIZATION


def requests(behaviour: str) -> list[CallRequested]:
    """Returns a campaign of calls, each to another number. Campaigns of different behaviours share no number."""
    first = list(CALL_COUNTS).index(behaviour) * 100
    return [
        CallRequested(
            request_id=f"{behaviour}-{index}",
            campaign_id="bench",
            contact_id=str(index),
            phone_number=fictional_number(first + index),
            script_template="Hello.",
            language="en",
            max_retries=0,
            call_timeout_seconds=30,
        )
        for index in range(CALL_COUNTS[behaviour])
    ]


async def measure(replicas: int) -> Measurement:
    """Runs both campaigns on a new system, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), speed=SPEED, settings=SETTINGS, replicas=replicas) as system:
            control = system.vendors.control or ""
            client = await nats.connect(system.nats_url)
            for behaviour in CALL_COUNTS:
                wanted = requests(behaviour)
                for request in wanted:
                    await set_callee_behaviour(control, request.phone_number, behaviour)
                await publish(client, wanted)
                ids = [call_id_of(request.request_id or "") for request in wanted]
                await wait_until_projected(system.mongo_url, ids, timeout=120)
            await client.close()
            all_dials = await dials(control)
    short, long = all_dials[: CALL_COUNTS["busy"]], all_dials[CALL_COUNTS["busy"] :]
    return Measurement(
        replicas,
        max_dials_in_window(dial.created_at for dial in all_dials),
        rate_utilization([dial.created_at for dial in short], DIALS_PER_SECOND),
        max_concurrent(long),
        slot_utilization(long, SLOTS),
    )


async def main() -> int:
    """Measures, prints the table, and returns the exit code."""
    table = Table(title=f"{DIALS_PER_SECOND} dials a second, {SLOTS} slots: never exceeded, at least 95 % used")
    for column in ("replicas", "max dials in a second", "rate used", "max concurrent", "slots used", ""):
        table.add_column(column)
    measurements = [await measure(replicas) for replicas in REPLICAS]
    for measurement in measurements:
        used = (f"{measurement.rate_utilization:.1%}", f"{measurement.slot_utilization:.1%}")
        largest = (str(measurement.max_dials_in_a_second), str(measurement.max_concurrent))
        table.add_row(
            str(measurement.replicas), largest[0], used[0], largest[1], used[1], "ok" if measurement.is_ok else "FAILED"
        )
    Console().print(table)
    return 0 if all(measurement.is_ok for measurement in measurements) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
