"""Converts windows of local days to spans of UTC.

An instant is in a window if the local clock shows a time of the window at that instant. So an hour that does not
exist is in no span: a window that opens in it opens when the clock has been put forward. An hour that exists twice is
in the window both times, or neither: a window that ends in it has two spans. The UTC day is divided where the offset
of the zone changes; within each part a window is shifted by the offset.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from call_orchestrator.domain.calling_policy.windows import Windows

Spans = tuple[tuple[datetime, datetime], ...]
"""Disjoint spans of UTC in order; the end is not in the span."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


def begin_of_utc_day(day: date) -> datetime:
    """Returns midnight UTC of a date."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def spans_of(utc_day: date, zone: ZoneInfo, windows_on: Callable[[date], Windows]) -> Spans:
    """Returns when windows are open during a day of UTC. `windows_on` returns the windows of a local date."""
    spans: list[tuple[datetime, datetime]] = []
    begin = begin_of_utc_day(utc_day)
    for first, last, offset in _parts(begin, begin + _DAY, zone):
        local_day = (first + offset).date()
        while (midnight := begin_of_utc_day(local_day) - offset) < last:
            for opens, closes in windows_on(local_day):
                opens_at = max(first, midnight + timedelta(minutes=opens))
                closes_at = min(last, midnight + timedelta(minutes=closes))
                if opens_at < closes_at:
                    spans.append((opens_at, closes_at))
            local_day += _DAY
    return tuple(spans)


def intersected_spans(first: Spans, second: Spans) -> Spans:
    """Returns the time that is in spans of both."""
    spans = ((max(a[0], b[0]), min(a[1], b[1])) for a in first for b in second)
    return tuple((begin, end) for begin, end in spans if begin < end)


def _parts(begin: datetime, end: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Yields the parts of a day of UTC with one offset each. A zone changes its offset at most once in a day."""
    before, after = _offset(begin, zone), _offset(end - _SECOND, zone)
    if before == after:
        yield begin, end, before
        return
    same, other = begin, end - _SECOND
    while other - same > _SECOND:
        middle = same + timedelta(seconds=(other - same) // _SECOND // 2)
        same, other = (middle, other) if _offset(middle, zone) == before else (same, middle)
    yield begin, other, before
    yield other, end, after


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    return offset if offset is not None else timedelta()
