"""The policy permits exactly the minutes that a scan of single minutes finds open, in random campaigns."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.call_orchestrator.calling_policy.minute_scan import MinuteScan

from call_orchestrator.domain.calling_policy import CallingPolicy, Forbidden, Permitted, PutOff, WeeklyHours
from contracts.callees import Callee
from contracts.vocabulary import Purpose

PLACES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("ES", (), ("Atlantic/Canary", "Europe/Madrid")),  # a Spanish mobile number
    ("ES", ("MD",), ("Europe/Madrid",)),
    ("FR", (), ("Europe/Paris",)),
    ("FR", ("974",), ("Indian/Reunion",)),
    ("IT", (), ("Europe/Rome",)),
    ("GB", (), ("Europe/London",)),
    ("IE", (), ("Europe/Dublin",)),
    ("CA", ("BC",), ("America/Vancouver",)),
    ("CA", ("NS", "PE"), ("America/Halifax",)),
    ("CO", (), ("America/Bogota",)),
    ("CL", (), ("America/Punta_Arenas", "America/Santiago")),  # the clock changes at midnight
    ("BR", (), ("America/Manaus", "America/Sao_Paulo")),
    ("IN", (), ("Asia/Kolkata",)),
    ("ZA", (), ("Africa/Johannesburg",)),
    ("AU", (), ("Australia/Lord_Howe", "Australia/Perth", "Australia/Sydney")),  # Lord Howe: half an hour of DST
    ("EG", (), ("Africa/Cairo",)),  # no rule of its own
    ("MA", (), ("Africa/Casablanca",)),  # DST is the other way round
    *(
        ("US", regions, zones)
        for regions, zones in [
            (("FL",), ("America/Chicago", "America/New_York")),
            (("TX",), ("America/Chicago", "America/Denver")),
            (("UT",), ("America/Denver",)),
            (("ME",), ("America/New_York",)),
            (("OK",), ("America/Chicago",)),
            (("PA",), ("America/New_York",)),
            (("MS",), ("America/Chicago",)),
            (("NE",), ("America/Chicago", "America/Denver")),
            (("AZ",), ("America/Phoenix",)),
            (("AK",), ("America/Adak", "America/Anchorage")),
            ((), ("America/New_York",)),  # a toll-free number with a given zone
        ]
    ),
]
TURNING_POINTS = [
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # US, spring
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Europe, spring
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Australia, autumn
    datetime(2026, 9, 6, 4, tzinfo=UTC),  # Chile, spring
    datetime(2026, 10, 3, 15, tzinfo=UTC),  # Australia, spring
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # Europe, autumn
    datetime(2026, 11, 1, 6, tzinfo=UTC),  # US, autumn
    datetime(2026, 12, 7, 12, tzinfo=UTC),  # the day before a holiday of Spain and Italy
    datetime(2026, 12, 24, 12, tzinfo=UTC),
    datetime(2027, 1, 1, 0, tzinfo=UTC),
    datetime(2027, 7, 4, 12, tzinfo=UTC),  # a holiday on a Sunday, and the Monday instead
]
SECONDS = 86_400 * 4
instants = st.builds(
    lambda near, seconds: near + timedelta(seconds=seconds),
    st.sampled_from(TURNING_POINTS),
    st.integers(-SECONDS, SECONDS).map(lambda seconds: seconds - seconds % 60) | st.integers(-SECONDS, SECONDS),
)
purposes = st.none() | st.sampled_from([purpose for purpose in Purpose if purpose is not Purpose.EMERGENCY])


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, str]:
    """Windows around the hours at which clocks change, and of the day."""
    opens = draw(st.sampled_from([0, 30, 60, 90, 119, 120, 150, 180]) | st.integers(0, 1439))
    closes = draw(st.sampled_from([60, 90, 121, 150, 180, 1440]) | st.integers(1, 1440))
    opens, closes = min(opens, closes), max(opens, closes)
    closes += opens == closes
    return f"{opens // 60:02}:{opens % 60:02}", f"{closes // 60:02}:{closes % 60:02}"


weekly_hours = st.lists(
    st.builds(
        lambda days, window: (days, *window),
        st.sampled_from(["mon-fri", "sat", "sun", "mon-sun", "tue thu", "sat-sun"]),
        windows(),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def override_tables(draw: st.DrawFn) -> str:
    """Tables of a few rows for the countries of `PLACES`, or for all without rules."""
    lines = []
    for number in range(draw(st.integers(1, 6))):
        country, region = draw(
            st.sampled_from(["ES,", "ES,MD", "US,", "US,FL", "US,NE", "CL,", "AU,", "MA,", "EG,"])
        ).split(",")
        days = draw(st.sampled_from(["mon-fri", "sat sun", "mon-sun hol", "hol", "eve", "2026-12-24 sun", ""]))
        is_closed = not days or draw(st.booleans())
        opens, closes = ("", "") if is_closed else draw(windows())
        cap = draw(st.sampled_from([",", ",", "1,24", "2,168", "1,1"]))
        purpose = draw(st.sampled_from(["*", "sales", "service collection", "sales research"]))
        kind = draw(st.sampled_from(["law", "code"]))
        basis = draw(st.sampled_from(["one", "two"])) + kind + ("closed" if is_closed else f"open {number % 2}")
        lines.append(f"{country},{region},{purpose},any,{days},{opens},{closes},{cap},no,{kind},{basis},,low")
    return "\n".join([HEADER, *lines])


HEADER = (
    "country,region,purposes,voice,days,opens_at,closes_at,max_calls,within_hours,requires_consent,kind,basis,source,"
    "confidence"
)
SHIPPED = CallingPolicy.shipped()
SHIPPED_SCAN = MinuteScan()


@st.composite
def earlier_dials(draw: st.DrawFn, at: datetime) -> list[datetime]:
    hours = st.sampled_from([1, 24, 168, 720]).map(lambda hours: hours * 60)
    minutes = draw(st.lists(hours | st.integers(0, 60 * 26) | st.integers(0, 60 * 24 * 31), max_size=8))
    return [at.replace(second=0) - timedelta(minutes=minute) for minute in minutes]


def check(policy: CallingPolicy, scan: MinuteScan, data: st.DataObject) -> None:
    """Compares one random decision with the scan."""
    place, purpose = data.draw(st.sampled_from(PLACES)), data.draw(purposes)
    at = data.draw(instants)
    weekly = data.draw(st.none() | st.none() | weekly_hours)
    dialed_at = data.draw(earlier_dials(at))
    country, regions, zones = place
    decision = policy.next_permitted(
        Callee(country=country, regions=regions, zones=zones),
        purpose=purpose,
        at=at,
        hours=WeeklyHours.of(weekly) if weekly else None,
        dialed_at=dialed_at,
    )
    first = scan.first_open(place, purpose, at, weekly, dialed_at)
    match decision:
        case Permitted(until=until):
            assert first == at

            def is_open(instant: datetime) -> bool:
                return scan.first_open(place, purpose, instant, weekly, []) == instant

            next_day_ends_at = datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=2)
            minutes = range(0, int(((until or next_day_ends_at) - at).total_seconds()) // 60, 29)
            assert all(is_open(at + timedelta(minutes=minute)) for minute in minutes)
            if until:
                assert at < until < next_day_ends_at
                assert is_open(until - timedelta(minutes=1)) or until - at < timedelta(minutes=1)
                assert not is_open(until)
        case PutOff(until=until):
            assert first == until
            assert first > at
        case Forbidden():
            assert first is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_shipped_rules_permit_the_open_minutes_and_no_others(data: st.DataObject) -> None:
    check(SHIPPED, SHIPPED_SCAN, data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=override_tables(), data=st.data())
def test_overridden_rules_permit_the_open_minutes_and_no_others(
    tmp_path: Path, table: str, data: st.DataObject
) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(table, encoding="utf-8")
    check(CallingPolicy.shipped(file), MinuteScan(table), data)


@pytest.mark.parametrize("place", PLACES)
def test_every_minute_around_a_change_of_the_clock_is_decided_as_the_scan_does(
    place: tuple[str, tuple[str, ...], tuple[str, ...]],
) -> None:
    country, regions, zones = place
    weekly = [("mon-sun", "00:00", "01:30"), ("mon-sun", "02:30", "24:00")]
    callee, hours = Callee(country=country, regions=regions, zones=zones), WeeklyHours.of(weekly)
    for near in TURNING_POINTS[:7]:
        for minute in range(-120, 180, 15):
            at = near + timedelta(minutes=minute)
            decision = SHIPPED.next_permitted(callee, purpose=Purpose.EMERGENCY, at=at, hours=hours)
            until = decision.until if isinstance(decision, PutOff) else at
            assert until == SHIPPED_SCAN.first_open(place, "emergency", at, weekly, [])
