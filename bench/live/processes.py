"""Processes of the measurement that print their addresses when they listen."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from bench.calls.processes import thread_ids

START_SECONDS = 120


@asynccontextmanager
async def listening(module: str, *arguments: str, log: Path) -> AsyncIterator[dict[str, str]]:
    """Runs a module of this folder during the block, and yields the addresses that it has printed.

    Raises RuntimeError if it does not start.
    """
    with log.open("ab") as errors:
        command = (sys.executable, "-m", f"bench.live.{module}", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=errors, start_new_session=True
        )
    try:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            urls: dict[str, str] = json.loads(line)
        except (TimeoutError, ValueError) as error:
            raise RuntimeError(f"{module} did not start: {log.read_text(errors='replace')[-500:]}") from error
        yield urls
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def separate_cores(measured: Collection[str]) -> bool:
    """Gives the last core to the vendors and to this process, and all others to the `measured` processes.

    Returns False on a machine with one core, where nothing is changed.
    """
    cores = range(os.cpu_count() or 1)
    if len(cores) < 2:
        return False
    for name, threads in thread_ids().items():
        for thread in threads:
            os.sched_setaffinity(thread, cores[:-1] if name in measured else cores[-1:])
    os.sched_setaffinity(0, cores[-1:])
    return True
