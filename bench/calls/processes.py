"""CPU time and resident memory of the processes of a run, read from ``/proc``."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_NAMES = {
    "nats-server": "nats-server",
    "secantusd-py": "mongo",
    "simulators": "simulators",
    "call_orchestrator": "call-orchestrator",
    "voice": "voice",
    "conversation": "conversation",
    "campaign_stats": "campaign-stats",
    "edge": "edge",
    "centralita_console": "console",
    "bench.live.floor_bot": "floor bot",
    "bench.live.vendors": "fixed vendors",
}
SERVICES = ("call-orchestrator", "voice", "edge", "conversation", "campaign-stats")
_QUIET_SHARE = 0.06
_QUIET_SECONDS = 0.5
_MAX_QUIET_SECONDS = 30.0


@dataclass(frozen=True)
class Usage:
    """CPU seconds and resident bytes by the name of the process; processes of the same name are added up."""

    cpu_seconds: Mapping[str, float]
    resident_bytes: Mapping[str, int]

    def since(self, before: "Usage") -> dict[str, float]:
        """Returns the CPU seconds since another reading."""
        return {name: seconds - before.cpu_seconds.get(name, 0.0) for name, seconds in self.cpu_seconds.items()}


def read_usage() -> Usage:
    """Reads all child processes of this process."""
    cpu: dict[str, float] = {}
    memory: dict[str, int] = {}
    for name, folder, fields in _children():
        try:
            resident = int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu[name] = cpu.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
        memory[name] = memory.get(name, 0) + resident
    return Usage(cpu, memory)


def thread_ids() -> dict[str, list[int]]:
    """Returns the ids of all threads of the child processes, by the name of the process."""
    found: dict[str, list[int]] = {}
    for name, folder, _ in _children():
        found.setdefault(name, []).extend(int(thread.name) for thread in (folder / "task").iterdir())
    return found


def _children() -> Iterator[tuple[str, Path, list[str]]]:
    """Yields name, folder in ``/proc`` and statistics of each child process of a known name."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and (name := _name(folder)) is not None:
                yield name, folder, fields
        except (FileNotFoundError, ProcessLookupError):
            continue


def _name(folder: Path) -> str | None:
    arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    words = [Path(word).name for word in arguments[:4]]
    return next((_NAMES[word] for word in words if word in _NAMES), None)


async def wait_until_quiet() -> float:
    """Returns when the services use little CPU; the return value is the share of one core that they still use."""
    share = 1.0
    for _ in range(int(_MAX_QUIET_SECONDS / _QUIET_SECONDS)):
        before = read_usage()
        await asyncio.sleep(_QUIET_SECONDS)
        used = read_usage().since(before)
        share = sum(used.get(name, 0.0) for name in SERVICES) / _QUIET_SECONDS
        if share < _QUIET_SHARE:
            break
    return share
