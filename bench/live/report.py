"""The tables: one for each number of calls, with the floor of the same run beside ours, and one for each extra run."""

import os
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from bench.calls.report import machine
from bench.live import conditions
from bench.live.run import Figures

FLOOR = "floor"
_WIDTH = 150
TARGETS = {
    "hops together, ms p50": "≤ floor + 2",
    "hops together, ms p95": "≤ floor + 5",
    "CPU together, s per call-minute": "≤ 1.5 × floor",
    "memory of voice, MB per call": "≤ 0.3",
    "underruns": "≤ floor",
    "failed calls": "0",
    "onset to clear, ms p95": "≤ 140",
    "onset to silence, ms p95": "≤ 250",
    "gap between streams, ms p95": "≤ 600",
    "calls with words that no turn has": "0 (drain)",
    "turns answered twice": "0",
    "interruptions of coughs": "0",
}
"""The targets of the issue, for 50 live calls on one core."""


def print_conditions() -> None:
    """Prints the machine, its load, and the fixed latencies."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{machine()}; load {load}")
    print(
        f"vendors: transcript {conditions.TRANSCRIPT_SECONDS} s after a commit, model {conditions.MODEL_SECONDS} s, "
        f"speech {conditions.SPEECH_SECONDS} s; policy: a turn is over after {conditions.TURN_OVER_SECONDS} s",
        flush=True,
    )


def print_figures(title: str, columns: Mapping[str, Figures]) -> None:
    """Prints figures in rows; beside a floor, also the difference to it and the ratio of each other column."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    compared = [label for label in columns if label != FLOOR and FLOOR in columns]
    differences = [text for label in compared for text in (f"{label} - {FLOOR}", f"{label} / {FLOOR}")]
    for label in (*columns, *differences, "target"):
        table.add_column(label, justify="right")
    for name in dict.fromkeys(name for one in columns.values() for name in one):
        cells = [_text(one.get(name)) for one in columns.values()]
        for label in compared:
            cells += _compared(columns[FLOOR].get(name), columns[label].get(name))
        table.add_row(name, *cells, TARGETS.get(name, ""))
    Console(width=_WIDTH).print(table)


def _compared(floor: float | None, ours: float | None) -> list[str]:
    if floor is None or ours is None:
        return ["", ""]
    return [_text(ours - floor), _text(ours / floor) if floor > 0 else ""]


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value == round(value) else f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"
