"""Windows of a local day, in minutes since its midnight, and the weekly hours of a campaign."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Self

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of ``date.weekday``."""

Windows = tuple[tuple[int, int], ...]
"""Disjoint windows in order: the first minute, and the minute that is no longer in the window. Empty: closed."""

WHOLE_DAY: Windows = ((0, 24 * 60),)
CLOSED: Windows = ()
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


def parse_time(text: str) -> int:
    """Returns the minutes since midnight of ``HH:MM``; ``24:00`` is the end of the day. Raises ValueError."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no time; write HH:MM, such as 09:00")
    return int(text[:2]) * 60 + int(text[3:])


def parse_window(opens_at: str, closes_at: str) -> tuple[int, int]:
    """Returns the window between two times of one day. Raises ValueError if it does not open before it closes."""
    window = parse_time(opens_at), parse_time(closes_at)
    if window[0] >= window[1]:
        raise ValueError(
            f"{closes_at} is not after {opens_at}; a window ends on its day: write one until 24:00 and one from 00:00"
        )
    return window


def parse_weekdays(text: str) -> list[str]:
    """Returns the weekdays of one word, such as ``sat`` or ``mon-fri``. Raises ValueError."""
    first, _, last = text.partition("-")
    try:
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    except ValueError:
        raise ValueError(f"{text!r} names no weekday; write mon to sun, or a range such as mon-fri") from None
    if begin > end or text.endswith("-"):
        raise ValueError(f"{text!r} is no range; its first day comes before its last, from mon to sun")
    return list(WEEKDAYS[begin : end + 1])


def format_windows(windows: Windows) -> str:
    """Returns windows for a person to read, such as ``10:00-15:00, 16:00-21:00``."""
    spans = (f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}" for begin, end in windows)
    return ", ".join(spans) or "closed"


def united(windows: Iterable[tuple[int, int]]) -> Windows:
    """Returns the minutes that are in any of the windows."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(windows):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def intersected(first: Windows, second: Windows) -> Windows:
    """Returns the minutes that are in windows of both."""
    spans = ((max(a[0], b[0]), min(a[1], b[1])) for a in first for b in second)
    return tuple((begin, end) for begin, end in spans if begin < end)


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """The hours of a campaign in the callee's local time: the windows of each weekday, from Monday on."""

    windows: tuple[Windows, ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str]]) -> Self:
        """Returns the hours of rows of days, opening and closing time, such as ``("mon-fri sat", "09:00", "18:00")``.

        A weekday that no row names is closed. Raises ValueError, which names the invalid part and the remedy.
        """
        by_day: dict[str, list[tuple[int, int]]] = {day: [] for day in WEEKDAYS}
        for days, opens_at, closes_at in rows:
            window = parse_window(opens_at, closes_at)
            for word in days.split():
                for day in parse_weekdays(word):
                    by_day[day].append(window)
        if not any(by_day.values()):
            raise ValueError("the weekly hours name no day; write at least one, such as mon-fri 09:00 to 18:00")
        return cls(tuple(united(by_day[day]) for day in WEEKDAYS))

    def on(self, day: date) -> Windows:
        """Returns the windows of a date."""
        return self.windows[day.weekday()]
