"""``python -m bench.archive``: archives a log of prefilled calls and compares replay before and after.

It fills a log with copies of recorded calls, every hundredth of them unfinished. It runs `replay verify` and `replay
rebuild`, archives all ended calls with `centralita archive`, and runs both again with the archive. The reports and the
documents must be equal. It also prints the restart time and the memory of nats-server before and after.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.calls.processes import read_usage
from bench.calls.run import fill
from bench.calls.streams import stream_states
from bench.calls.system import Checkout, RunningSystem, Variant, running_servers

SIZES = (1_000, 100_000)
LOG_STREAMS = ("CALLS", "REQUESTS")
MEGABYTE = 1_000_000
Figures = dict[str, float]


@dataclass(frozen=True)
class Command:
    """A finished `centralita` command: its result, its duration and its largest resident memory."""

    result: Any
    seconds: float
    resident_bytes: int


def run_command(*arguments: str, environment: Mapping[str, str]) -> Command:
    """Runs `centralita ... --json`. Raises RuntimeError if it fails; exit code 1 is a result of `verify`."""
    with tempfile.TemporaryFile() as out:
        began_at = time.perf_counter()
        line = [sys.executable, "-m", "centralita", *arguments, "--json"]
        process = subprocess.Popen(line, env={**os.environ, **environment}, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began_at
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
    if process.returncode not in (0, 1) or not text:
        raise RuntimeError(f"{' '.join(arguments)} ended with code {process.returncode}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    print(f"centralita {' '.join(arguments)}: {seconds:.1f} s, {cpu_seconds:.1f} s of CPU", flush=True)
    return Command(json.loads(text), seconds, usage.ru_maxrss * 1024)


async def server_figures(system: RunningSystem, label: str) -> Figures:
    """Restarts nats-server; returns the time until it is ready and its memory, and what the log contains."""
    (server,) = system.servers
    await asyncio.to_thread(server.stop)
    began_at = time.perf_counter()
    await asyncio.to_thread(server.start)
    seconds = time.perf_counter() - began_at
    async with system.admin() as client:
        states = await stream_states(client)
    log = [states[name] for name in LOG_STREAMS]
    return {
        f"{label}: restart of nats-server, s": seconds,
        f"{label}: memory of nats-server, MB": read_usage().resident_bytes["nats-server"] / MEGABYTE,
        f"{label}: messages in CALLS and REQUESTS": sum(one.messages for one in log),
        f"{label}: their bytes, MB": sum(one.bytes for one in log) / MEGABYTE,
    }


def replay_figures(environment: Mapping[str, str], label: str, *rebuild: str) -> tuple[Figures, Any, Any]:
    """Runs verify and rebuild; returns the figures and the two results."""
    verified = run_command("replay", "verify", environment=environment)
    rebuilt = run_command("replay", "rebuild", *rebuild, environment=environment)
    figures = {
        f"{label}: replay verify, s": verified.seconds,
        f"{label}: replay verify, memory, MB": verified.resident_bytes / MEGABYTE,
        f"{label}: replay rebuild, s": rebuilt.seconds,
    }
    return figures, verified.result, rebuilt.result


async def measure(calls: int, folder: Path) -> Figures:
    """Returns the figures for one size. Raises RuntimeError if replay differs after archiving."""
    variant, archive = Variant(), folder / "archive"
    filled = await fill(Checkout("present"), calls, folder / "log", variant)
    print(f"{calls} calls: {filled.prefill.messages} messages in {filled.prefill.seconds:.1f} s", flush=True)
    async with running_servers(filled.checkout, filled.folder, variant) as system:
        environment = {"NATS_URL": system.admin_url, "MONGO_URL": system.mongo_url}
        figures = await server_figures(system, "before")
        environment["NATS_URL"] = system.admin_url
        found, verified, rebuilt = await asyncio.to_thread(replay_figures, environment, "before")
        figures |= found
        environment["ARCHIVE_DIR"] = str(archive)
        archived = await asyncio.to_thread(
            lambda: run_command("archive", "--older-than", "0d", "--force", environment=environment)
        )
        figures |= archive_figures(archived, figures)
        figures |= await server_figures(system, "after")
        found, verified_again, rebuilt_again = await asyncio.to_thread(replay_figures, environment, "after", "--check")
    if verified_again != verified:
        raise RuntimeError(f"verify differs: {_counts(verified)}, then {_counts(verified_again)}")
    if not rebuilt_again["is_equal"] or rebuilt_again["documents"] != rebuilt["documents"]:
        raise RuntimeError(f"rebuild differs: {rebuilt_again['different'][:5]}")
    print(f"{calls} calls: {archived.result['calls']} archived; verify and rebuild are equal: {_counts(verified)}")
    return figures | found


def archive_figures(archived: Command, before: Figures) -> Figures:
    """Returns what the archiver needed and how well it compresses."""
    moved, stored = sum(archived.result["moved"].values()), before["before: messages in CALLS and REQUESTS"]
    raw = before["before: their bytes, MB"] * moved / stored
    return {
        "archive, s": archived.seconds,
        "archive, messages a second": moved / archived.seconds,
        "archive, memory, MB": archived.resident_bytes / MEGABYTE,
        "archive, MB on disk": archived.result["bytes"] / MEGABYTE,
        "archive, times smaller than in the stream": raw * MEGABYTE / max(archived.result["bytes"], 1),
    }


def _counts(verified: Mapping[str, Any]) -> str:
    counts = {name: len(value) if isinstance(value, list) else value for name, value in verified.items()}
    return ", ".join(f"{value} {name}" for name, value in counts.items())


async def main(argv: Sequence[str] | None = None) -> None:
    """Measures each size and prints the table."""
    parser = argparse.ArgumentParser(prog="bench.archive", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=SIZES, help="calls in the log")
    parser.add_argument("--folder", type=Path, help="where logs are written (default: a temporary folder)")
    arguments = parser.parse_args(argv)
    columns: dict[int, Figures] = {}
    for calls in arguments.calls:
        with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-archive-") as name:
            columns[calls] = await measure(calls, Path(name))
    print(f"\n| {'':52} | " + " | ".join(f"{calls:>12,}" for calls in columns) + " |")
    print(f"|{'-' * 54}|" + "|".join("-" * 13 + ":" for _ in columns) + "|")
    for row in next(iter(columns.values())):
        print(f"| {row:52} | " + " | ".join(f"{figures[row]:>12,.1f}" for figures in columns.values()) + " |")


if __name__ == "__main__":
    asyncio.run(main())
