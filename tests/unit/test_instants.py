"""Instants of events: in UTC, and within the years that every reader can store."""

from datetime import UTC, datetime, timedelta, timezone

from bson import decode, encode
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contracts.instants import MAX_INSTANT, MAX_SCHEDULE_AHEAD, MIN_INSTANT, Instant, schedule_refusals

INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
OFFSETS = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=OFFSETS))
def test_every_instant_is_read_in_utc_and_within_the_years_of_mongodb_and_nats(instant: datetime) -> None:
    read = INSTANT.validate_json(f'"{instant.isoformat()}"')
    assert read.tzinfo is UTC
    assert MIN_INSTANT <= read <= MAX_INSTANT
    assert -(2**63) < int(read.timestamp()) * 10**9 < 2**63
    assert decode(encode({"at": read}))["at"].replace(tzinfo=UTC) == read.replace(
        microsecond=read.microsecond // 1000 * 1000
    )
    if MIN_INSTANT <= instant <= MAX_INSTANT:
        assert read == instant


def test_the_ends_of_the_calendar_are_read_without_an_overflow() -> None:
    assert INSTANT.validate_json('"9999-12-31T23:59:59-12:00"') == MAX_INSTANT
    assert INSTANT.validate_json('"0001-01-01T00:00:00+14:00"') == MIN_INSTANT


def test_a_scheduled_time_is_at_most_400_days_ahead() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert schedule_refusals(now + MAX_SCHEDULE_AHEAD, now) == []
    assert schedule_refusals(None, now) == []
    assert schedule_refusals(now + MAX_SCHEDULE_AHEAD + timedelta(seconds=1), now) == [
        "scheduled_at: more than 400 days ahead; give an earlier instant"
    ]
