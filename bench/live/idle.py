"""``python -m bench.live.idle``: the CPU time and the wake-ups of each process while nothing happens.

An embedded run has held one live call, and then waits. It prints one line for each measurement.
"""

import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path

from bench.calls.processes import thread_ids
from bench.live.bots import running_bots
from bench.live.run import CALM, run

_SETTLE_SECONDS, _SECONDS, _MEASUREMENTS = 15.0, 20.0, 3


def usage() -> tuple[Counter[str], Counter[str]]:
    """Returns the CPU time in nanoseconds, and the number of context switches, of each process until now."""
    cpu, switches = Counter[str](), Counter[str]()
    for name, threads in thread_ids().items():
        for thread in threads:
            folder = Path("/proc", str(thread))
            cpu[name] += int((folder / "schedstat").read_text().split()[0])
            lines = (folder / "status").read_text().splitlines()
            switches[name] += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return cpu, switches


async def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as folder:
        async with running_bots(Path(folder) / "one") as bots:
            assert bots.ours is not None
            await run(bots.ours, bots.control_url, [CALM], ramp_seconds=0)
            await asyncio.sleep(_SETTLE_SECONDS)
            for _ in range(_MEASUREMENTS):
                cpu, switches = usage()
                await asyncio.sleep(_SECONDS)
                cpu_after, switches_after = usage()
                found = {
                    name: (
                        round((cpu_after[name] - cpu[name]) / 1e6 / _SECONDS, 1),
                        round((switches_after[name] - switches[name]) / _SECONDS),
                    )
                    for name in bots.ours.processes
                }
                total = sum(milliseconds for milliseconds, _ in found.values())
                each = ", ".join(f"{name} {one:.1f} ({woken})" for name, (one, woken) in found.items())
                print(f"CPU ms/s (switches/s): {total:.1f} together: {each}; load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
