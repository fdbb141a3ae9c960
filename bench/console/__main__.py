"""``python -m bench.console``: what browsers cost that watch the console while events are stored.

Real processes run: nats-server, MongoDB, campaign-stats, edge and console. A driver appends 100 decisions a second
about 200 calls in progress. Browsers watch a view: the board of the first page, one call that speaks meanwhile, or the
live log. Without a browser, with one and with all of them, it prints the CPU seconds per second of the console, of the
edge and of nats-server, what arrived, the time from an append to its receipt, and how much memory grew.

Before that, it requests the page of a call of 200 events and the part of it for the slider, lets 20 browsers with one
key move their sliders at once, and counts the bytes that a browser loads before it shows a page.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.calls.processes import read_usage
from bench.calls.profiles import top_functions
from bench.console.pages import SHARED, Moved, Requested, first_paint, move_sliders, request_pages
from bench.console.system import CALL_EVENTS, ConsoleSystem, running_console_system
from bench.console.watching import Browser, latencies, percentile, watching

SIZES = (1_000, 100_000)
BROWSERS = 50
EVENTS_PER_SECOND = 100.0
WARM_UP_SECONDS = 6.0
"""Longer than the board needs to read its lists a second time."""
VIEWS = {"now": "/now/board", "call": "/calls/{call}/live", "log": "/log/events"}
SLIDERS = 20
PAGE_KEYS = 40
"""API keys with which pages are requested in turn."""
MAX_CORES = 0.5
MAX_FIRST_PAINT = 100_000


@dataclass(frozen=True)
class Watched:
    """What one view cost with some browsers: CPU seconds per second by process, and what the browsers received."""

    events: int
    view: str
    browsers: int
    keys: int
    seconds: float
    cores: dict[str, float]
    growth_mb: dict[str, float]
    is_complete: bool
    messages: int
    messages_per_second: float
    bytes_per_second: float
    p50: float
    p95: float


async def watch(system: ConsoleSystem, events: int, view: str, browsers: int, seconds: float, keys: int) -> Watched:
    """Measures one view. Every browser must have received the last event in the end."""
    path = VIEWS[view].format(call=system.call.call_id)
    cookies = [system.cookies[number % keys] for number in range(browsers)]
    driver = system.driver
    driver.begin()
    async with watching(system.url, path, cookies) as open_browsers:
        await driver.run(EVENTS_PER_SECOND, WARM_UP_SECONDS)
        decisions = len(driver.appended_at)
        driver.begin()
        before, received = read_usage(), [(len(one.received), one.size) for one in open_browsers]
        began_at = time.perf_counter()
        await driver.run(EVENTS_PER_SECOND, seconds)
        took, after = time.perf_counter() - began_at, read_usage()
        relevant = driver.spoken_at if view == "call" else driver.appended_at
        decisions += len(driver.appended_at)
        is_complete = not open_browsers or await _have_received(open_browsers, max(relevant))
        if view == "log":  # each line exactly once
            is_complete = is_complete and {one.lines for one in open_browsers} == {decisions}
        delays = [delay for one in open_browsers for delay in latencies(one, relevant)]
    used = after.since(before)
    new = [(len(one.received) - n, one.size - size) for one, (n, size) in zip(open_browsers, received, strict=True)]
    return Watched(
        events=events,
        view=view if browsers else "none",
        browsers=browsers,
        keys=keys,
        seconds=took,
        cores={name: used[name] / seconds for name in SHARED},  # for the events of so many seconds
        growth_mb={name: (after.resident_bytes[name] - before.resident_bytes[name]) / 1e6 for name in SHARED},
        is_complete=is_complete,
        messages=sum(n for n, _ in new),
        messages_per_second=sum(n for n, _ in new) / took / max(1, browsers),
        bytes_per_second=sum(size for _, size in new) / took / max(1, browsers),
        p50=percentile(delays, 0.5),
        p95=percentile(delays, 0.95),
    )


async def _have_received(browsers: Sequence[Browser], sequence: int) -> bool:
    """Waits until every browser has an id that is not before a sequence; false after 10 s."""
    for _ in range(200):
        if all(browser.last_id >= sequence for browser in browsers):
            return True
        await asyncio.sleep(0.05)
    return False


def print_table(found: Sequence[Watched]) -> None:
    """Prints the measurements, one in a row."""
    table = Table(title=f"{EVENTS_PER_SECOND:.0f} events a second: CPU seconds per second (at most {MAX_CORES})")
    columns = ("events before", "view", "browsers", "keys", *SHARED, "ratio", "all arrived")
    for column in (*columns, "messages/s", "kB/s each", "p50 ms", "p95 ms", "console MB", "edge MB"):
        table.add_column(column, justify="right")
    for one in found:
        single = next((two for two in found if _is_base(two, one)), one)
        table.add_row(
            *(f"{one.events:,}", one.view, str(one.browsers), str(one.keys)),
            *(f"{one.cores[name]:.3f}" for name in SHARED),
            f"{one.cores['console'] / single.cores['console']:.2f}" if one.browsers > 1 else "",
            "yes" if one.is_complete else "NO",
            *(f"{one.messages_per_second:.1f}", f"{one.bytes_per_second / 1000:.0f}"),
            *(f"{1000 * one.p50:.0f}", f"{1000 * one.p95:.0f}"),
            *(f"{one.growth_mb[name]:+.1f}" for name in ("console", "edge")),
        )
    Console(width=160).print(table)


def print_pages(pages: Sequence[Requested], moved: Moved) -> None:
    """Prints what the requests cost, and what the sliders did."""
    table = Table(title=f"One request for a call of {CALL_EVENTS} events: ms of CPU, and of time until the answer")
    names = ("events before", "request", *SHARED, "together", "ratio to a short call", "p50", "kB")
    for column in names:
        table.add_column(column, justify="right")
    for one in pages:
        table.add_row(
            *(f"{one.events:,}", one.name, *(f"{one.cpu_ms[name]:.1f}" for name in SHARED), f"{one.total_ms:.1f}"),
            *(f"{one.total_ms / one.baseline_ms:.2f}", f"{one.p50_ms:.0f}", f"{one.size / 1000:.0f}"),
        )
    console = Console(width=160)
    console.print(table)
    cores = ", ".join(f"{name} {moved.cores[name]:.2f}" for name in SHARED)
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(moved.statuses.items()))
    text = f"{moved.browsers} sliders with one key, {moved.events:,} events before: {cores} cores; {answers}"
    console.print(f"{text}; 95 % of the parts within {moved.p95_ms:.0f} ms")


def _is_base(one: Watched, other: Watched) -> bool:
    return (one.events, one.view, one.browsers) == (other.events, other.view, 1)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.console", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=SIZES, help="events in the log before the run")
    parser.add_argument("--views", nargs="*", choices=list(VIEWS), default=list(VIEWS))
    parser.add_argument("--browsers", type=int, default=BROWSERS, help="how many watch one view")
    parser.add_argument("--keys", type=int, nargs="+", default=[1], help="API keys with which they are logged in")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each measurement lasts")
    parser.add_argument("--pages", type=int, default=80, help="requests of each page; 0: none")
    parser.add_argument("--profile", action="store_true", help="print the top functions of console and edge, too")
    parser.add_argument("--folder", type=Path, help="where logs are written (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args(argv)


async def main(argv: Sequence[str] | None = None) -> int:
    """Measures each size, and prints its tables. Returns 1 if an event did not arrive."""
    arguments = _arguments(argv)
    everything: list[Requested | Moved | Watched] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-console-") as name:
        for events in arguments.events:
            folder = Path(name) / str(events)
            profile = folder / "profiles" if arguments.profile else None
            async with running_console_system(folder, events, max(PAGE_KEYS, *arguments.keys), profile) as system:
                if profile:
                    system.signal(signal.SIGUSR2)  # the start of the processes is no part of the profile
                if arguments.pages:
                    everything += await _measure_pages(system, events, arguments)
                watched = await _watch_all(system, events, arguments)
            print_table(watched)
            everything += watched
            if profile:
                for process in ("console", "edge"):
                    print(f"\n{process}, per cent of its samples\n{top_functions(profile / process)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in everything], indent=2))
    return 0 if all(one.is_complete for one in everything if isinstance(one, Watched)) else 1


async def _measure_pages(system: ConsoleSystem, events: int, arguments: argparse.Namespace) -> list[Requested | Moved]:
    pages = await request_pages(system, events, arguments.pages)
    painted = await first_paint(system)
    moved = await move_sliders(system, events, SLIDERS, arguments.seconds / 2)
    print_pages(pages, moved)
    for path, size in painted.items():
        print(f"bytes before {path} is shown: {size:,} (at most {MAX_FIRST_PAINT:,})", flush=True)
    return [*pages, moved]


async def _watch_all(system: ConsoleSystem, events: int, arguments: argparse.Namespace) -> list[Watched]:
    """Measures without a browser, and each view with one and with all browsers."""
    found: list[Watched] = []
    if not arguments.views:
        return found
    await system.driver.prime()
    found.append(await watch(system, events, "now", 0, arguments.seconds, 1))
    for view in arguments.views:
        for keys in arguments.keys:
            for browsers in (1, arguments.browsers) if keys == 1 else (arguments.browsers,):
                found.append(await watch(system, events, view, browsers, arguments.seconds, keys))
                print(f"{events:,} events before, {view}, {browsers} browsers: measured", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
