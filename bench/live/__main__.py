"""``make bench-live``: live conversations at real time, with a floor in the same run. See docs/performance.md.

For each number of calls, the floor bot and our system hold the same conversations of three turns, one after the other,
with the same simulated vendors at fixed latencies; ours live, and once more over ConversationRelay. Further runs:
callees who interrupt, floor and live; and of ours alone a killed replica, a drained replica, coughs, and a soak. It
prints tables and asserts nothing.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.live.bots import OUR_PROCESSES, Bots, Centralita, running_bots
from bench.live.endurance import measure_coughs, measure_drain, measure_takeover, soak
from bench.live.processes import separate_cores
from bench.live.report import print_conditions, print_figures
from bench.live.run import CALM, INTERRUPTS, TURNS, Figures, barge_in_figures, figures, print_failures, run

SIZES = (1, 10, 25, 50, 100)
RUNS = ("conversations", "barge-in", "coughs", "soak", "takeover", "drain")
WITH_REPLICAS = ("takeover", "drain")
BARGE_IN_CALLS, COUGH_CALLS, SOAK_CALLS, TAKEOVER_CALLS, DRAIN_CALLS = 50, 20, 10, 10, 25


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.live", description="Measure live conversations at real time.")
    parser.add_argument("--calls", type=int, nargs="+", default=SIZES, help="calls at a time, one table for each")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS, help="what is measured")
    parser.add_argument("--floor-only", action="store_true", help="without our system: tries the simulators")
    parser.add_argument("--separate-cores", action="store_true", help="the vendors have the last core for themselves")
    parser.add_argument("--soak-minutes", type=float, default=1.0, help="length of the soak")
    parser.add_argument("--folder", type=Path, help="where logs are written (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="a file for the figures of each run")
    return parser.parse_args(argv)


async def main(argv: Sequence[str] | None = None) -> None:
    """Runs everything, and prints a table after each run. No run has more calls than the largest of `--calls`."""
    arguments = _arguments(argv)
    largest, found = max(arguments.calls), dict[str, dict[str, Figures]]()
    print_conditions()

    def show(title: str, columns: dict[str, Figures]) -> None:
        found[title] = columns
        print_figures(title, columns)

    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-live-") as name:
        if set(arguments.runs) - set(WITH_REPLICAS):
            async with running_bots(Path(name) / "one", has_ours=not arguments.floor_only) as bots:
                await _warm_up(bots, is_separated=arguments.separate_cores)
                if "conversations" in arguments.runs:
                    for calls in arguments.calls:
                        show(f"{calls} calls, {TURNS} turns", await _converse(bots, calls))
                if "barge-in" in arguments.runs:
                    calls = min(BARGE_IN_CALLS, largest)
                    show(f"{calls} calls whose callees interrupt", await _interrupt(bots, calls))
                if bots.ours is not None:
                    for title, own in (await _extra(bots, bots.ours, arguments, largest)).items():
                        show(title, {"ours": own})
        if set(arguments.runs) & set(WITH_REPLICAS) and not arguments.floor_only:
            async with running_bots(Path(name) / "two", voices=2) as bots:
                await _warm_up(bots, is_separated=arguments.separate_cores)
                assert bots.ours is not None
                if "takeover" in arguments.runs:
                    calls = min(TAKEOVER_CALLS, largest)
                    own = await measure_takeover(bots, bots.ours, calls)
                    show(f"kill -9 of a replica of voice, {calls} calls", {"ours": own})
                if "drain" in arguments.runs:
                    calls = min(DRAIN_CALLS, largest)
                    show(f"drain of a replica, {calls} calls", {"ours": await measure_drain(bots, bots.ours, calls)})
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


async def _warm_up(bots: Bots, *, is_separated: bool) -> None:
    """Holds one conversation in each system: clips are stored, connections open, modules imported."""
    if is_separated and not separate_cores(("floor bot", *OUR_PROCESSES)):
        print("one core: nothing can be separated", flush=True)
    for bot in bots.all:
        print_failures(bot, await run(bot, bots.control_url, [CALM], ramp_seconds=0))


async def _converse(bots: Bots, calls: int) -> dict[str, Figures]:
    columns: dict[str, Figures] = {}
    for bot in bots.all:
        ran = await run(bot, bots.control_url, [CALM] * calls)
        columns[bot.name] = figures(bot, ran, calls)
        print_failures(bot, ran)
    return columns


async def _interrupt(bots: Bots, calls: int) -> dict[str, Figures]:
    return {
        bot.name: barge_in_figures(await run(bot, bots.control_url, [INTERRUPTS] * calls)) for bot in bots.with_audio
    }


async def _extra(bots: Bots, ours: Centralita, arguments: argparse.Namespace, largest: int) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    if "coughs" in arguments.runs:
        calls = min(COUGH_CALLS, largest)
        found[f"coughs, {calls} calls"] = await measure_coughs(bots, ours, calls)
    if "soak" in arguments.runs:
        calls = min(SOAK_CALLS, largest)
        found[f"soak, waves of {calls} calls"] = await soak(bots, ours, calls, arguments.soak_minutes)
    return found


if __name__ == "__main__":
    asyncio.run(main())
