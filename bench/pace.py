"""``python -m bench.pace``: pace and caps with 1, 2 and 3 replicas of every service, by the provider's own ledger.

Two campaigns for each number of replicas. The first meets busy lines, so that calls are short and the pace is what
limits them; the second meets phones that ring unanswered, so that the slots are. The simulated account is faster than
the limit that we are told, so it limits nothing. Exit code 1: a limit was exceeded, or less than 95 % of it was used.
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
PER_SECOND = 4
AT_ONCE = 6
BUSY, RINGS = "+12125550101", "+12125550102"
CALLS = {BUSY: 80, RINGS: 42}
ENOUGH = 0.95
SETTINGS = {
    "TWILIO_CALLS_PER_SECOND": str(PER_SECOND),
    "MAX_CONCURRENT_CALLS": str(AT_ONCE),
    "LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one number of replicas has done: the most in any second and at once, and the shares that were used."""

    replicas: int
    most_in_a_second: int
    rate_utilization: float
    max_concurrent: int
    slot_utilization: float

    @property
    def ok(self) -> bool:
        """Never above, and used."""
        within = self.most_in_a_second <= PER_SECOND and self.max_concurrent <= AT_ONCE
        return within and min(self.rate_utilization, self.slot_utilization) >= ENOUGH


def requests(number: str) -> list[CallRequested]:
    """A campaign of calls to one number."""
    return [
        CallRequested(
            request_id=f"{number}-{index}",
            campaign_id="bench",
            contact_id=str(index),
            phone_number=number,
            script_template="Hello.",
            language="en",
            max_retries=0,
            call_timeout_seconds=30,
        )
        for index in range(CALLS[number])
    ]


async def measure(replicas: int) -> Figures:
    """Both campaigns, one after the other, on a system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), speed=SPEED, settings=SETTINGS, replicas=replicas) as system:
            control = system.vendors.control or ""
            client = await nats.connect(system.nats_url)
            for number, behaviour in ((BUSY, "busy"), (RINGS, "no_answer")):
                await set_callee_behaviour(control, number, behaviour)
                wanted = requests(number)
                await publish(client, wanted)
                ids = [call_id_of(request.request_id or "") for request in wanted]
                await wait_until_projected(system.mongo_url, ids, timeout=120)
            await client.close()
            found = await dials(control)
    short, long = found[: CALLS[BUSY]], found[CALLS[BUSY] :]
    return Figures(
        replicas,
        max_dials_in_window(dial.created_at for dial in found),
        rate_utilization([dial.created_at for dial in short], PER_SECOND),
        max_concurrent(long),
        slot_utilization(long, AT_ONCE),
    )


async def main() -> int:
    """Measures, prints the table, and says whether all was kept."""
    table = Table(title=f"{PER_SECOND} dials a second, {AT_ONCE} calls at once: never above, and at least 95 % used")
    for column in ("replicas", "most in a second", "pace used", "most at once", "slots used", ""):
        table.add_column(column)
    figures = [await measure(replicas) for replicas in REPLICAS]
    for line in figures:
        shares = (f"{line.rate_utilization:.1%}", f"{line.slot_utilization:.1%}")
        most = (str(line.most_in_a_second), str(line.max_concurrent))
        table.add_row(str(line.replicas), most[0], shares[0], most[1], shares[1], "ok" if line.ok else "NOT KEPT")
    Console().print(table)
    return 0 if all(line.ok for line in figures) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
