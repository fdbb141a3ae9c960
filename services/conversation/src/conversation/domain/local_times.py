"""The time of the person on the telephone, and the instants that the model gives in it. Pure.

A number may belong to several time zones (`contracts.callees`). The local time is known if all of them agree on it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from contracts import Call
from contracts.callees import callee_of
from contracts.time_zones import is_zone, zone_of

MAX_AHEAD = timedelta(days=60)
"""How far ahead another call may be scheduled."""
MAX_CHARACTERS = 40
_EXAMPLE = "2026-12-01T10:00"


class InvalidTime(ValueError):
    """A time of the model cannot be used; the message says why, and what to do."""


def zones_of(call: Call) -> tuple[ZoneInfo, ...]:
    """Returns the time zones in which the person may be; empty: unknown."""
    callee = call.callee or callee_of(call.phone_number, call.time_zone)
    return tuple(map(zone_of, callee.zones)) if all(map(is_zone, callee.zones)) else ()


def local_time(zones: Sequence[ZoneInfo], instant: datetime) -> datetime | None:
    """Returns an instant in the time of the person; None: the zones do not agree on it, or are unknown."""
    times = [instant.astimezone(zone) for zone in zones]
    return times[0] if times and len({time.utcoffset() for time in times}) == 1 else None


def described(zones: Sequence[ZoneInfo], instant: datetime) -> str:
    """Returns an instant for the model: in the time of the person, with its day of the week, or else in UTC."""
    time = local_time(zones, instant) or instant.astimezone(UTC)
    return f"{time:%A} {time.isoformat(timespec='minutes')}"


def read_local_time(text: str, zones: Sequence[ZoneInfo], now: datetime) -> datetime:
    """Returns the future instant that the model means. Raises InvalidTime.

    A time without an offset is in the time of the person. One that the clocks skip is that much later, and of one that
    they repeat the first counts.
    """
    instant = _instant(text, zones)
    if instant <= now:
        raise InvalidTime(f"that is in the past: it is {described(zones, now)} now")
    if instant > now + MAX_AHEAD:
        raise InvalidTime(f"at most {MAX_AHEAD.days} days ahead: agree on an earlier time")
    return instant


def _instant(text: str, zones: Sequence[ZoneInfo]) -> datetime:
    try:
        if "T" not in text or len(text) > MAX_CHARACTERS:
            raise ValueError
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
        instants = {time.replace(tzinfo=zone).astimezone(UTC) for zone in zones}
    except (ValueError, OverflowError):
        raise InvalidTime(f"give local_time as a date and a time, such as {_EXAMPLE}") from None
    if len(instants) != 1:
        remedy = f"ask where they are, and add the offset from UTC, such as {_EXAMPLE}-05:00"
        raise InvalidTime(f"the time zone of the person is not known: {remedy}")
    return instants.pop()
