"""The time of the person on the telephone, and what the model may give as the time of another call."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.calls import a_call

from contracts import Call
from contracts.callees import Callee
from conversation.domain.local_times import (
    MAX_AHEAD,
    InvalidTime,
    described,
    local_time,
    read_local_time,
    zones_of,
)

NOW = datetime(2026, 11, 30, 15, 30, tzinfo=UTC)
BOGOTA = (ZoneInfo("America/Bogota"),)
UNITED_STATES = (ZoneInfo("America/New_York"), ZoneInfo("America/Los_Angeles"))
NAMES = ("America/Bogota", "America/New_York", "Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")


def names_of(call: Call) -> list[str]:
    return [zone.key for zone in zones_of(call)]


def test_a_local_time_is_that_of_the_person() -> None:
    assert read_local_time("2026-12-01T10:00", BOGOTA, NOW) == datetime(2026, 12, 1, 15, tzinfo=UTC)
    assert described(BOGOTA, NOW) == "Monday 2026-11-30T10:30-05:00"


def test_a_time_with_an_offset_needs_no_zone() -> None:
    for zones in ((), UNITED_STATES, BOGOTA):
        assert read_local_time("2026-12-01T10:00-08:00", zones, NOW) == datetime(2026, 12, 1, 18, tzinfo=UTC)


@pytest.mark.parametrize("zones", [(), UNITED_STATES])
def test_without_a_certain_zone_the_offset_is_asked_for(zones: tuple[ZoneInfo, ...]) -> None:
    assert local_time(zones, NOW) is None
    assert described(zones, NOW) == "Monday 2026-11-30T15:30+00:00"
    with pytest.raises(InvalidTime, match="ask where they are"):
        read_local_time("2026-12-01T10:00", zones, NOW)


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "10:00", "2026-12-01", "2026-13-01T10:00", "2026-12-01T25:00", "T", "0001-01-01T00:00+23:59"],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidTime, match="2026-12-01T10:00"):
        read_local_time(text, BOGOTA, NOW)


def test_the_past_and_the_far_future_are_refused() -> None:
    for text in ("2026-11-30T10:30", "2025-12-01T10:00"):
        with pytest.raises(InvalidTime, match="it is Monday 2026-11-30T10:30-05:00 now"):
            read_local_time(text, BOGOTA, NOW)
    with pytest.raises(InvalidTime, match="60 days"):
        read_local_time("2027-03-01T10:00", BOGOTA, NOW)


def test_a_time_that_the_clocks_skip_or_repeat_is_some_instant() -> None:
    madrid, january = (ZoneInfo("Europe/Madrid"),), datetime(2027, 3, 1, tzinfo=UTC)
    assert read_local_time("2027-03-28T02:30", madrid, january) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    october = datetime(2026, 10, 20, tzinfo=UTC)
    assert read_local_time("2026-10-25T02:30", madrid, october) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_zone_of_a_call_is_its_own_or_that_of_its_number() -> None:
    call = a_call(phone_number="+573015550123")
    assert names_of(call) == ["America/Bogota"]
    assert names_of(call.model_copy(update={"time_zone": "Europe/Madrid"})) == ["Europe/Madrid"]
    unknown = Callee(country="US", regions=(), zones=("America/New_York", "Nowhere/Here"))
    assert names_of(call.model_copy(update={"callee": unknown})) == []


@settings(deadline=None)
@given(st.text(max_size=60) | st.datetimes().map(datetime.isoformat), st.sampled_from(NAMES))
def test_whatever_the_model_gives_is_a_future_instant_or_refused(text: str, zone: str) -> None:
    try:
        instant = read_local_time(text, (ZoneInfo(zone),), NOW)
    except InvalidTime:
        return
    assert NOW < instant <= NOW + MAX_AHEAD


@settings(deadline=None)
@given(st.sampled_from(NAMES), st.integers(min_value=1, max_value=86_400))
def test_the_time_that_is_described_to_the_model_reads_as_the_same_minute(zone: str, minutes: int) -> None:
    zones, instant = (ZoneInfo(zone),), NOW + timedelta(minutes=minutes)
    text = described(zones, instant).partition(" ")[2]
    assert read_local_time(text, zones, NOW) == instant
