"""What the shipped rules decide in single cases, and the reasons that they record."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from call_orchestrator.domain.calling_policy import (
    CallingPolicy,
    Forbidden,
    Permitted,
    PutOff,
    WeeklyHours,
)
from contracts.callees import Callee, callee_of
from contracts.vocabulary import Purpose

POLICY = CallingPolicy.shipped()
SPANISH_MOBILE, FLORIDA, NEW_YORK, ROME = "+34612345678", "+13055550123", "+12125550123", "+390612345678"


def decide(
    number: str,
    at: datetime,
    purpose: Purpose | None = Purpose.SALES,
    *,
    hours: WeeklyHours | None = None,
    dialed_at: Sequence[datetime] = (),
) -> Permitted | PutOff | Forbidden:
    return POLICY.next_permitted(callee_of(number), purpose=purpose, at=at, hours=hours, dialed_at=dialed_at)


def put_off(decision: Permitted | PutOff | Forbidden) -> tuple[datetime, str]:
    assert isinstance(decision, PutOff)
    return decision.until, decision.reason.rule


def utc(day: int, hour: int, minute: int = 0, *, month: int = 12, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def test_a_spanish_mobile_is_called_when_the_hour_is_permitted_in_madrid_and_in_the_canaries() -> None:
    assert put_off(decide(SPANISH_MOBILE, utc(1, 9, 30))) == (utc(1, 10), "calling_hours")
    assert isinstance(decide(SPANISH_MOBILE, utc(1, 10)), Permitted)
    assert put_off(decide(SPANISH_MOBILE, utc(1, 14))) == (utc(1, 16), "calling_hours")
    assert put_off(decide(SPANISH_MOBILE, utc(1, 20))) == (utc(2, 10), "calling_hours")


def test_a_reason_names_window_zone_local_time_basis_and_version_but_not_the_number() -> None:
    decision = decide(FLORIDA, utc(2, 1, 30))
    assert decision.reason.detail == (
        "2026-12-01 20:30 (tue) in America/New_York is outside 08:00-20:00 (US-FL: Fla. Stat. 501.616(6))"
    )
    assert decision.reason.policy_version == POLICY.version
    permitted = decide(SPANISH_MOBILE, utc(1, 10))
    assert permitted.reason.rule == "calling_hours"
    assert "10:00-15:00" in permitted.reason.detail
    assert "one of 2 possible zones" in permitted.reason.detail
    assert "prior consent required by ES: art. 96.2" in permitted.reason.detail
    assert SPANISH_MOBILE[3:] not in repr([decision, permitted])


def test_a_public_holiday_is_the_reason_where_the_weekday_is_open() -> None:
    immaculate_conception = utc(8, 11)
    assert put_off(decide(SPANISH_MOBILE, immaculate_conception)) == (utc(9, 10), "holiday")


def test_the_holiday_of_one_region_counts_for_a_law_where_the_region_is_unknown() -> None:
    day_of_andalusia = datetime(2028, 2, 28, 11, tzinfo=UTC)
    assert put_off(decide(SPANISH_MOBILE, day_of_andalusia))[1] == "holiday"
    in_madrid = Callee(country="ES", regions=("MD",), zones=("Europe/Madrid",))
    assert isinstance(POLICY.next_permitted(in_madrid, purpose=Purpose.SALES, at=day_of_andalusia), Permitted)


def test_the_day_before_a_holiday_has_the_hours_of_a_saturday_in_italy() -> None:
    assert put_off(decide(ROME, utc(7, 8, 30))) == (utc(7, 9), "calling_hours")
    assert isinstance(decide(ROME, utc(9, 8, 30)), Permitted)


def test_a_sunday_that_is_a_holiday_stays_closed_in_mississippi() -> None:
    """A holiday has the hours of a weekday there, but another rule closes Sundays."""
    independence_day = datetime(2027, 7, 4, 16, tzinfo=UTC)
    decision = decide("+16015550123", independence_day)
    assert put_off(decision) == (datetime(2027, 7, 5, 13, tzinfo=UTC), "calling_hours")


def test_an_unknown_purpose_has_the_hours_of_all_purposes_together() -> None:
    india = "+919812345678"
    assert isinstance(decide(india, utc(1, 3), Purpose.COLLECTION), Permitted)
    assert isinstance(decide(india, utc(1, 15), Purpose.SALES), Permitted)
    assert put_off(decide(india, utc(1, 3), None)) == (utc(1, 3, 30), "calling_hours")
    assert put_off(decide(india, utc(1, 13, 30), None)) == (utc(2, 3, 30), "calling_hours")


def test_the_house_default_applies_to_a_date_that_no_rule_names() -> None:
    kenya, saturday = "+254712345678", utc(5, 10)
    decision = decide(kenya, saturday)
    assert put_off(decision) == (utc(7, 6), "calling_hours")
    assert "default: none: choice of this table" in decision.reason.detail
    assert put_off(decide(NEW_YORK, utc(5, 15), Purpose.SERVICE)) == (utc(7, 14), "calling_hours")
    assert isinstance(decide(NEW_YORK, utc(5, 15), Purpose.SALES), Permitted)


@pytest.mark.parametrize(
    ("number", "purpose", "most", "within_hours"),
    [
        (FLORIDA, Purpose.SALES, 3, 24),
        ("+14105550123", Purpose.SALES, 3, 24),  # Maryland
        ("+14055550123", Purpose.SALES, 3, 24),  # Oklahoma
        ("+33612345678", Purpose.SALES, 4, 30 * 24),
        (NEW_YORK, Purpose.COLLECTION, 7, 7 * 24),
        ("+576012345678", Purpose.COLLECTION, 1, 24),
        ("+56221234567", Purpose.COLLECTION, 1, 7 * 24),
    ],
)
def test_a_frequency_cap_counts_earlier_dials(number: str, purpose: Purpose, most: int, within_hours: int) -> None:
    at = utc(1, 15, 30)
    begin = at - timedelta(hours=within_hours) + timedelta(hours=1)
    dialed_at = [begin + timedelta(minutes=minute) for minute in range(most)]
    assert isinstance(decide(number, at, purpose, dialed_at=dialed_at[1:]), Permitted)
    decision = decide(number, at, purpose, dialed_at=dialed_at[::-1])
    assert put_off(decision) == (at + timedelta(hours=1), "frequency")
    assert f"dialled {most} times within {within_hours} h, permitted: {most}" in decision.reason.detail
    assert isinstance(decide(number, at + timedelta(hours=1), purpose, dialed_at=dialed_at), Permitted)


def test_a_call_after_a_cap_waits_for_the_next_open_hour() -> None:
    dialed_at = [utc(1, 22), utc(1, 23), utc(2, 0, 59)]
    assert put_off(decide(FLORIDA, utc(2, 15), dialed_at=dialed_at)) == (utc(2, 22), "frequency")
    late = [utc(2, 0, minute) for minute in (57, 58, 59)]
    decision = decide(FLORIDA, utc(2, 15), dialed_at=[*late, utc(2, 0, 59)])
    assert put_off(decision) == (utc(3, 0, 58), "frequency")
    closed_again = [dialed + timedelta(minutes=5) for dialed in late]
    assert put_off(decide(FLORIDA, utc(2, 15), dialed_at=closed_again)) == (utc(3, 13), "frequency")


def test_the_hours_of_a_campaign_restrict_the_rules() -> None:
    hours = WeeklyHours.of([("mon-wed", "10:00", "12:00"), ("mon", "15:00", "23:30")])
    assert put_off(decide(NEW_YORK, utc(1, 14), hours=hours)) == (utc(1, 15), "campaign_hours")
    assert put_off(decide(NEW_YORK, utc(2, 17), hours=hours)) == (utc(7, 15), "campaign_hours")
    decision = decide(NEW_YORK, utc(8, 2, 30), hours=hours)
    assert put_off(decision) == (utc(8, 15), "calling_hours")


def test_campaign_hours_outside_every_permitted_hour_forbid_the_call() -> None:
    decision = decide(NEW_YORK, utc(1, 15), hours=WeeklyHours.of([("mon-sun", "22:00", "23:00")]))
    assert isinstance(decision, Forbidden)
    assert decision.reason.rule == "no_permitted_time"
    assert "outside the campaign's hours: 22:00-23:00" in decision.reason.detail


def test_an_emergency_has_neither_hours_nor_caps_nor_a_zone() -> None:
    at_night = utc(6, 3)
    decision = decide("+5215512345678", at_night, Purpose.EMERGENCY, dialed_at=[at_night] * 100)
    assert isinstance(decision, Permitted)
    assert decision.reason.rule == "emergency"
    assert isinstance(decide(NEW_YORK, at_night, Purpose.EMERGENCY), Permitted)


def test_the_hours_of_a_campaign_apply_to_an_emergency_too() -> None:
    hours = WeeklyHours.of([("mon-sun", "00:00", "06:00")])
    assert put_off(decide(NEW_YORK, utc(1, 12), Purpose.EMERGENCY, hours=hours)) == (utc(2, 5), "campaign_hours")
    assert isinstance(decide(NEW_YORK, utc(1, 6), Purpose.EMERGENCY, hours=hours), Permitted)


@pytest.mark.parametrize(
    ("callee", "rule"),
    [
        (Callee(country="", regions=(), zones=("Europe/Madrid",)), "unknown_country"),
        (Callee(country="MX", regions=(), zones=()), "unknown_zone"),
        (Callee(country="ES", regions=(), zones=("localtime",)), "unknown_zone"),
        (Callee(country="ES", regions=(), zones=("Europe/Madrid", "posix/Europe/Madrid")), "unknown_zone"),
    ],
)
def test_an_unknown_country_or_zone_is_never_called(callee: Callee, rule: str) -> None:
    decision = POLICY.next_permitted(callee, purpose=Purpose.SERVICE, at=utc(1, 15))
    assert isinstance(decision, Forbidden)
    assert decision.reason.rule == rule


def test_a_number_that_may_be_in_every_zone_of_a_continent_is_called_only_with_a_given_zone() -> None:
    toll_free = "+18005550123"
    decision = decide(toll_free, utc(1, 15))
    assert isinstance(decision, Forbidden)
    assert "possible zones" in decision.reason.detail
    in_chicago = callee_of(toll_free, "America/Chicago")
    assert put_off(POLICY.next_permitted(in_chicago, purpose=Purpose.SALES, at=utc(1, 15))) == (
        utc(1, 16),  # 10:00, the latest opening of all states
        "calling_hours",
    )


def test_an_hour_that_does_not_exist_opens_when_the_clock_has_been_put_forward() -> None:
    """In New York, 02:00 is followed by 03:00 on 2026-03-08, and 01:00 to 02:00 exists twice on 2026-11-01."""
    spring = WeeklyHours.of([("sun", "02:30", "04:00")])
    at = datetime(2026, 3, 8, 6, tzinfo=UTC)
    decision = decide(NEW_YORK, at, Purpose.EMERGENCY, hours=spring)
    assert put_off(decision)[0] == datetime(2026, 3, 8, 7, tzinfo=UTC)
    autumn = WeeklyHours.of([("sun", "01:00", "01:30")])
    opens = [datetime(2026, 11, 1, hour, tzinfo=UTC) for hour in (5, 6)]
    for first in opens:
        decision = decide(NEW_YORK, first - timedelta(minutes=10), Purpose.EMERGENCY, hours=autumn)
        assert put_off(decision)[0] == first
        assert isinstance(decide(NEW_YORK, first, Purpose.EMERGENCY, hours=autumn), Permitted)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("mon-fri", "18:00", "09:00"), "09:00 is not after 18:00"),
        (("mon-fri", "9:00", "18:00"), "'9:00' is no time; write HH:MM"),
        (("monday", "09:00", "18:00"), "'monday' names no weekday"),
        (("fri-mon", "09:00", "18:00"), "'fri-mon' is no range"),
        (("", "09:00", "18:00"), "name no day"),
    ],
)
def test_impossible_hours_of_a_campaign_are_refused(row: tuple[str, str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        WeeklyHours.of([row])
