"""The weekly hours of a campaign for a person to read."""

from collections.abc import Iterable, Mapping
from typing import Any

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def hours_by_days(windows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns the windows of `weekly_hours` as pairs of days and times: ``("mon–fri", "09:00–12:00, 13:00–18:00")``.

    Windows of the same days become one pair, in the order of their first windows.
    """
    times: dict[str, list[str]] = {}
    for window in windows:
        times.setdefault(_days(window["days"]), []).append(f"{window['opens_at']}–{window['closes_at']}")
    return [(days, ", ".join(sorted(found))) for days, found in times.items()]


def _days(named: Iterable[str]) -> str:
    """Returns days in the order of the week; three or more in a row as the first and the last."""
    days = set(named)
    rows: list[list[str]] = []
    for day in DAYS:
        if day in days and rows and DAYS.index(day) == DAYS.index(rows[-1][-1]) + 1:
            rows[-1].append(day)
        elif day in days:
            rows.append([day])
    others = [[day] for day in sorted(days.difference(DAYS))]
    return ", ".join(f"{row[0]}–{row[-1]}" if len(row) > 2 else ", ".join(row) for row in (*rows, *others))
