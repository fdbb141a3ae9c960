"""One round: a filled system is started, calls are driven through it, and the figures are read."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from bench.calls import counting as counts
from bench.calls.baseline import Operations, chain_per_second, run_baseline
from bench.calls.driving import IN_FLIGHT, Drive, drive
from bench.calls.prefill import Prefill, prefill, set_checkpoint
from bench.calls.processes import SERVICES, read_usage, wait_until_quiet
from bench.calls.recording import Recording, record
from bench.calls.streams import LOG, StreamState, header_bytes, read_stream, stream_states
from bench.calls.system import Checkout, RunningSystem, Variant, running_servers, running_services

KINDS = ("unanswered", "conversation")
WARM_UP_CALLS = 10
COUNTED_CALLS = 20
CLIPS = ("OBJ_clips", "KV_call_clips")
Figures = dict[str, float]


@dataclass(frozen=True)
class Filled:
    """A folder with a filled log of a checkout, and what was recorded to fill it."""

    checkout: Checkout
    calls: int
    folder: Path
    recordings: Mapping[str, Recording]
    prefill: Prefill


async def fill(checkout: Checkout, calls: int, folder: Path, variant: Variant) -> Filled:
    """Records calls on a new system, and fills its log with copies of them."""
    async with running_servers(checkout, folder, variant) as system, system.admin() as client:
        async with running_services(system, variant):
            recordings = await record(client, system.control_url)
            await wait_until_quiet()
        filled = await prefill(client, system.admin_url, recordings, calls)
        await set_checkpoint(client, system.mongo_url)
    return Filled(checkout, calls, folder, recordings, filled)


@asynccontextmanager
async def copy_of(filled: Filled, folder: Path, variant: Variant) -> AsyncIterator[tuple[RunningSystem, Client]]:
    """Runs the servers on a copy of the filled folder, which is removed afterwards."""
    await asyncio.to_thread(shutil.copytree, filled.folder, folder)
    try:
        async with running_servers(filled.checkout, folder, variant) as system, system.admin() as client:
            yield system, client
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


async def measure(filled: Filled, folder: Path, variant: Variant, driven: Mapping[str, int]) -> Figures:
    """Runs one round and returns its figures. Counting is a run of its own, because it disturbs the others."""
    figures: Figures = {"log: bytes on disk for each call in it": _disk_bytes(filled.folder) / filled.calls}
    async with copy_of(filled, folder, variant) as (system, client):
        began_at = time.perf_counter()
        async with running_services(system, variant):
            figures["seconds until all services are ready"] = time.perf_counter() - began_at
            await wait_until_quiet()
            figures["idle: CPU of our services, ms per second"] = await _idle_cpu()
            skip = 1
            for kind in KINDS:
                await drive(client, system.control_url, kind, min(WARM_UP_CALLS, driven[kind]), skip=skip)
            skip += WARM_UP_CALLS
            for kind in KINDS:
                figures |= _named(kind, await _timed(client, system, kind, driven[kind], skip))
            skip += max(driven.values())
            for kind in KINDS:
                figures |= _named(kind, await _counted(client, system, kind, min(COUNTED_CALLS, driven[kind]), skip))
            figures |= {f"memory: {name}, MB": size / 1e6 for name, size in read_usage().resident_bytes.items()}
        for kind in KINDS:
            figures |= _named(kind, await _baseline(client, filled, kind, driven[kind], figures))
        figures["chain: guarded appends per second"] = await chain_per_second(client)
    return figures


def _disk_bytes(folder: Path) -> int:
    """Returns the bytes that the log takes on the disk of one server."""
    logs = sorted(folder.rglob(f"streams/{LOG}"))
    return sum(file.stat().st_size for file in logs[0].rglob("*") if file.is_file())


def operations_of(figures: Figures, kind: str) -> Operations:
    """Returns the operations per call that a run with counts has found."""
    names = ("stored publishes", "leader reads", "direct reads", "acknowledgements")
    return Operations(*(round(figures[f"{kind}: {name}"]) for name in names))


def _named(kind: str, figures: Figures) -> Figures:
    return {f"{kind}: {name}": value for name, value in figures.items()}


async def _idle_cpu(seconds: float = 2.0) -> float:
    before = read_usage()
    await asyncio.sleep(seconds)
    used = read_usage().since(before)
    return sum(used[name] for name in SERVICES) / seconds * 1000


async def _timed(client: Client, system: RunningSystem, kind: str, calls: int, skip: int) -> Figures:
    states, usage = await stream_states(client), read_usage()
    driven = await drive(client, system.control_url, kind, calls, skip=skip)
    await wait_until_quiet()
    used, after = read_usage().since(usage), await stream_states(client)
    _check(driven)
    cpu = {name: seconds / calls * 1000 for name, seconds in used.items()}
    figures = {
        "calls per second": calls / driven.seconds,
        "median seconds of a call": sorted(driven.latencies)[calls // 2],
        "CPU of our services, ms": sum(cpu[name] for name in SERVICES),
        **{f"CPU of {name}, ms": cpu[name] for name in (*SERVICES, "nats-server", "mongo", "simulators")},
    }
    return figures | await _stored(client, states, after, calls)


async def _stored(
    client: Client, before: Mapping[str, StreamState], after: Mapping[str, StreamState], calls: int
) -> Figures:
    published = {name: (after[name].last_sequence - before[name].last_sequence) / calls for name in after}
    messages = [one async for one in read_stream(client, LOG, after_sequence=before[LOG].last_sequence)]
    size = after[LOG].bytes - before[LOG].bytes
    return {
        "messages in CALLS": published[LOG],
        "messages that remain in CALLS": (after[LOG].messages - before[LOG].messages) / calls,
        "stored publishes": sum(count for name, count in published.items() if name not in CLIPS),
        "stored publishes of clips": sum(published.get(name, 0.0) for name in CLIPS),
        "bytes in CALLS": size / calls,
        "share of headers, %": header_bytes(messages) / size * 100,
    }


async def _counted(client: Client, system: RunningSystem, kind: str, calls: int, skip: int) -> Figures:
    async with counts.counting(client) as counted:
        driven = await drive(client, system.control_url, kind, calls, skip=skip)
        await wait_until_quiet()
    _check(driven)
    own = {(one, who): count for (one, who), count in counted.requests.items() if not who.startswith("OBJ_")}
    figures = {
        "leader reads": counted.total(counts.LEADER_READ) / calls,
        "direct reads": counted.total(counts.DIRECT_READ) / calls,
        "acknowledgements": counted.total(counts.ACKNOWLEDGEMENT) / calls,
        "other requests": counted.total(counts.OTHER_REQUEST) / calls,
    }
    details = {f"detail: {one}, {who}": count / calls for (one, who), count in own.items()}
    events = {f"detail: event {name}": count / calls for name, count in counted.events.items()}
    others = {f"detail: request {name}": count / calls for name, count in counted.others.items()}
    return figures | details | others | events


async def _baseline(client: Client, filled: Filled, kind: str, calls: int, figures: Figures) -> Figures:
    recording, operations = filled.recordings[kind], operations_of(figures, kind)
    bare = await run_baseline(client, recording, operations, calls=calls, in_flight=IN_FLIGHT[kind])
    bare_cpu = (bare.client_cpu_seconds + bare.server_cpu_seconds) * 1000
    own_cpu = figures[f"{kind}: CPU of our services, ms"] + figures[f"{kind}: CPU of nats-server, ms"]
    return {
        "bare nats-py: CPU of client and server, ms": bare_cpu,
        "bare nats-py: calls per second": 1 / bare.seconds,
        "ratio of CPU, services and nats-server to bare nats-py": own_cpu / bare_cpu,
    }


def _check(driven: Drive) -> None:
    """Raises RuntimeError if calls ended otherwise than their callees decide."""
    wanted = "no_answer" if driven.kind == "unanswered" else "completed"
    statuses = Counter(driven.statuses.values())
    if statuses[wanted] < 0.95 * driven.calls or (wanted == "completed" and abs(driven.turns_per_call - 3) > 0.2):
        raise RuntimeError(f"{driven.kind}: ended as {dict(statuses)} with {driven.turns_per_call:.2f} turns")
