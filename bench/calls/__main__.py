"""``make bench-calls``: whole calls through the whole system, at several sizes of the log.

It prints a table with one column for each checkout and size: the median of interleaved rounds. Each round starts the
system on a copy of the same log, which is filled with copies of recorded calls. See docs/performance.md.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.calls.operations import measure_operations
from bench.calls.profiles import print_profiles
from bench.calls.recovery import measure_recovery
from bench.calls.report import Column, print_table
from bench.calls.run import Figures, Filled, fill, measure
from bench.calls.system import Checkout, Variant

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 5
OPERATION_ROUNDS = 3
DRIVEN = {"unanswered": 200, "conversation": 60}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.calls", description="Measure whole calls through the whole system.")
    parser.add_argument("--calls", type=int, nargs="+", default=SIZES, help="calls in the log before the run")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved rounds, whose median is printed")
    parser.add_argument("--before", type=Path, help="another checkout with its own .venv, measured in turns")
    parser.add_argument("--sync-always", action="store_true", help="sync each message to disk, as compose does")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="nats-servers, each with every stream")
    parser.add_argument("--unanswered", type=int, default=DRIVEN["unanswered"], help="calls of this kind per round")
    parser.add_argument("--conversations", type=int, default=DRIVEN["conversation"], help="the same of this kind")
    parser.add_argument("--profile", action="store_true", help="print the top functions of each service instead")
    parser.add_argument("--recovery", action="store_true", help="kill each process during load instead")
    parser.add_argument("--details", action="store_true", help="print requests by service, and events by type, too")
    parser.add_argument("--folder", type=Path, help="where logs are written (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="a file for the figures of each round")
    return parser.parse_args(argv)


async def main(argv: Sequence[str] | None = None) -> None:
    """Fills the logs, runs the rounds, and prints the table."""
    arguments = _arguments(argv)
    variant = Variant(sync_always=arguments.sync_always, nodes=arguments.nodes)
    checkouts = [Checkout("present")]
    if arguments.before:
        checkouts.insert(0, Checkout("before", arguments.before.resolve()))
    driven = {"unanswered": arguments.unanswered, "conversation": arguments.conversations}
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-calls-") as name:
        folder = Path(name)
        logs = [await _fill(one, calls, folder, variant) for calls in arguments.calls for one in checkouts]
        if arguments.profile:
            for filled in logs:
                print(f"\n{filled.checkout.label}, {filled.calls:,} calls in the log")
                await print_profiles(filled, folder / "round", variant, driven)
            return
        columns: dict[Column, list[Figures]] = {(filled.checkout.label, filled.calls): [] for filled in logs}
        for number in range(arguments.rounds):
            for filled in logs if number % 2 == 0 else logs[::-1]:
                print(f"round {number + 1} of {arguments.rounds}: {filled.checkout.label}, {filled.calls}", flush=True)
                if arguments.recovery:
                    figures = await measure_recovery(filled, folder / "round", variant)
                else:
                    figures = await measure(filled, folder / "round", variant, driven)
                columns[filled.checkout.label, filled.calls].append(figures)
            if number < OPERATION_ROUNDS and not arguments.recovery:
                await _add_operations(logs, columns, folder / "round", variant, look_ups=number == 0)
    if arguments.json:
        arguments.json.write_text(json.dumps({f"{label} {calls}": one for (label, calls), one in columns.items()}))
    print_table(columns, variant, driven, details=arguments.details)


async def _add_operations(
    logs: Sequence[Filled], columns: Mapping[Column, list[Figures]], folder: Path, variant: Variant, *, look_ups: bool
) -> None:
    """Adds single operations to the last round, at the smallest and the largest size of each checkout."""
    for label in dict.fromkeys(filled.checkout.label for filled in logs):
        own = sorted((filled for filled in logs if filled.checkout.label == label), key=lambda filled: filled.calls)
        if len(own) > 1:
            print(f"operations: {label}, {own[0].calls} and {own[-1].calls}", flush=True)
            pair = (own[0], own[-1])
            measured = await measure_operations(pair, folder, variant, look_ups=look_ups)
            for filled, figures in zip(pair, measured, strict=True):
                columns[label, filled.calls][-1].update(figures)


async def _fill(checkout: Checkout, calls: int, folder: Path, variant: Variant) -> Filled:
    filled = await fill(checkout, calls, folder / f"{checkout.label}-{calls}", variant)
    rate = filled.prefill.messages / filled.prefill.seconds
    print(f"{checkout.label}: {calls} calls, {filled.prefill.messages} messages, {rate:,.0f} a second", flush=True)
    return filled


if __name__ == "__main__":
    asyncio.run(main())
