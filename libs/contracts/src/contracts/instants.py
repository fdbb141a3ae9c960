"""Instants in events: always in UTC, and within the years that every reader can store."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

MIN_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
MAX_INSTANT = datetime(2262, 4, 11, tzinfo=UTC)
"""NATS counts nanoseconds in 64 bits, which end on this day: it delivers a message scheduled for later at once."""
MAX_SCHEDULE_AHEAD = timedelta(days=400)
"""A call is scheduled at most this far ahead; a later time is almost certainly a mistake."""


def clamped(instant: datetime) -> datetime:
    """Returns the instant in UTC, or the nearest one of the range. It never raises: old logs must be readable."""
    try:
        utc = instant.astimezone(UTC)
    except OverflowError:  # such as 9999-12-31T23:59:59-12:00
        utc = MAX_INSTANT if instant.year > MAX_INSTANT.year else MIN_INSTANT
    return min(max(utc, MIN_INSTANT), MAX_INSTANT)


Instant = Annotated[AwareDatetime, AfterValidator(clamped)]
"""An instant in UTC from `MIN_INSTANT` to `MAX_INSTANT`."""


def schedule_refusals(scheduled_at: datetime | None, now: datetime, field: str = "scheduled_at") -> list[str]:
    """Returns why a request for this time is refused, under the name of its field; empty if it is acceptable."""
    if scheduled_at is None or scheduled_at <= now + MAX_SCHEDULE_AHEAD:
        return []
    return [f"{field}: more than {MAX_SCHEDULE_AHEAD.days} days ahead; give an earlier instant"]
