"""The table of figures: rows in a fixed order, one column for each checkout and size of the log."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.calls.driving import IN_FLIGHT, SPEED_NOTE
from bench.calls.operations import SPREAD
from bench.calls.run import Figures
from bench.calls.system import SETTINGS, Variant

Column = tuple[str, int]


def print_table(
    columns: Mapping[Column, Sequence[Figures]], variant: Variant, driven: Mapping[str, int], *, details: bool = True
) -> None:
    """Prints machine and settings, and the median of each figure."""
    console = Console(width=max(160, Console().width))
    rounds = max(len(one) for one in columns.values())
    server = f"{variant.nodes} nats-server(s), sync {'always' if variant.sync_always else 'by the default interval'}"
    console.print(f"{machine()}; {server}; medians of {rounds} interleaved rounds", highlight=False)
    console.print(f"calls per round: {dict(driven)}, in flight: {IN_FLIGHT}; {SPEED_NOTE}", highlight=False)
    console.print("settings: " + " ".join(f"{name}={value}" for name, value in SETTINGS.items()), highlight=False)
    table = Table()
    table.add_column("figure (per call, unless it says otherwise)", no_wrap=True)
    for label, calls in columns:
        table.add_column(f"{label}\n{calls:,} calls", justify="right")
    medians = {column: median_figures(rounds) for column, rounds in columns.items()}
    ratios = _ratios(medians)
    for label in ratios:
        table.add_column(f"{label}\nlargest / smallest", justify="right")
    changes = _changes(medians)
    for calls in changes:
        table.add_column(f"present / before\n{calls:,} calls", justify="right")
    for name in row_names(list(medians.values())):
        if details or "detail: " not in name:
            cells = [_text(figures.get(name)) for figures in [*medians.values(), *ratios.values(), *changes.values()]]
            table.add_row(name, *cells)
    console.print(table)


def _ratios(medians: Mapping[Column, Figures]) -> dict[str, Figures]:
    """Returns, by label, each figure of the largest log divided by that of the smallest one."""
    ratios: dict[str, Figures] = {}
    for label in dict.fromkeys(label for label, _ in medians):
        sizes = [calls for one, calls in medians if one == label]
        small, large = medians[label, min(sizes)], medians[label, max(sizes)]
        if len(sizes) > 1:
            ratios[label] = _quotients(large, small)
    return ratios


def _changes(medians: Mapping[Column, Figures]) -> dict[int, Figures]:
    """Returns, by size of the log, each figure of the present checkout divided by that of the one before."""
    sizes = [calls for label, calls in medians if label == "present" and ("before", calls) in medians]
    return {calls: _quotients(medians["present", calls], medians["before", calls]) for calls in sizes}


def _quotients(figures: Figures, divisors: Figures) -> Figures:
    return {name: figures[name] / divisors[name] for name in figures if divisors.get(name) and SPREAD not in name}


def median_figures(rounds: Sequence[Figures]) -> Figures:
    """Returns the median of each figure over the rounds that have it."""
    names = row_names(rounds)
    return {name: statistics.median(one[name] for one in rounds if name in one) for name in names}


def row_names(figures: Sequence[Figures]) -> list[str]:
    """Returns the names of all figures; details come last, otherwise in the order in which they were measured."""
    names = list(dict.fromkeys(name for one in figures for name in one))
    kinds = ("unanswered: ", "conversation: ")
    groups = [[name for name in names if name.startswith(kind) and "detail: " not in name] for kind in kinds]
    others = [name for name in names if not name.startswith(kinds)]
    details = sorted(name for name in names if "detail: " in name)
    return [*groups[0], *groups[1], *others, *details]


def machine() -> str:
    """Returns the number of cores, the processor, and the versions of Linux and Python."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
