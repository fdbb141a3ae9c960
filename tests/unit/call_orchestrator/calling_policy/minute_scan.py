"""The calling policy as a scan of single minutes; it shares no code with the policy. The oracle of its tests.

A minute is open if, in every possible zone and region, its local time is in every rule that names its local date.
"""

import csv
import io
from datetime import date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays

import call_orchestrator

SHIPPED = Path(call_orchestrator.__file__).parent / "domain/calling_policy/rules.csv"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MINUTE = timedelta(minutes=1)
SEARCH = timedelta(days=15)
Row = dict[str, str]


@lru_cache(maxsize=10_000)
def public_holidays(country: str, region: str | None, year: int) -> frozenset[date]:
    """`region`: None for the holidays of all regions, empty for those of the country."""
    try:
        regions = holidays.country_holidays(country).subdivisions
        asked = [None, *regions] if region is None else [region if region in regions else None]
        found = [holidays.country_holidays(country, subdiv=one, years=year) for one in asked]
    except NotImplementedError:
        return frozenset()
    return frozenset(day for calendar in found for day in calendar)


def names_of(word: str) -> list[str]:
    if "-" in word and not word[0].isdigit():
        first, last = word.split("-")
        return DAYS[DAYS.index(first) : DAYS.index(last) + 1]
    return [word]


def minute_of(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def open_minutes(rows: list[Row]) -> frozenset[int]:
    spans = [(minute_of(row["opens_at"]), minute_of(row["closes_at"])) for row in rows if row["opens_at"]]
    return frozenset(minute for opens, closes in spans for minute in range(opens, closes))


@lru_cache(maxsize=256)
def clock_of(zone: str) -> ZoneInfo:
    """Returns a time zone of the package tzdata: the files of the machine may know other changes of the offset."""
    with resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=zone)


class MinuteScan:
    """The shipped table, with the rows of an override in CSV."""

    def __init__(self, override: str = "") -> None:
        rows = list(csv.DictReader(SHIPPED.read_text(encoding="utf-8").splitlines()))
        new = list(csv.DictReader(io.StringIO(override)))
        places = {(row["country"], row["region"]) for row in new}
        rows = [row for row in rows if (row["country"], row["region"]) not in places] + new
        self.rules: list[list[Row]] = []

        def identity(row: Row) -> tuple[str, ...]:
            return row["country"], row["region"], " ".join(sorted(row["purposes"].split())), row["voice"], row["basis"]

        for _, together in groupby(sorted(rows, key=identity), key=identity):
            self.rules.append(list(together))
        self.named_regions = {(row["country"], row["region"]) for row in rows}
        self._open_minutes: dict[tuple[object, ...], frozenset[int]] = {}

    def first_open(
        self,
        place: tuple[str, tuple[str, ...], tuple[str, ...]],
        purpose: str | None,
        at: datetime,
        weekly: list[tuple[str, str, str]] | None,
        dialed_at: list[datetime],
    ) -> datetime | None:
        """Returns the first permitted instant: `at`, or a whole minute after it; or the end of a cap."""
        country, _, zones = place
        regions = self._regions(place)
        instant = self._after_caps(country, regions, purpose, at, dialed_at)
        latest = instant + SEARCH
        clocks = [clock_of(zone) for zone in zones]
        while instant <= latest:
            if all(self._is_open(country, regions, purpose, instant.astimezone(clock), weekly) for clock in clocks):
                return instant
            instant = instant.replace(second=0, microsecond=0) + MINUTE
        return None

    def is_permitted(
        self,
        place: tuple[str, tuple[str, ...], tuple[str, ...]],
        purpose: str | None,
        at: datetime,
        weekly: list[tuple[str, str, str]] | None,
        dialed_at: list[datetime],
    ) -> bool:
        """Returns whether the instant is permitted."""
        country, _, zones = place
        regions = self._regions(place)
        return self._after_caps(country, regions, purpose, at, dialed_at) == at and all(
            self._is_open(country, regions, purpose, at.astimezone(clock_of(zone)), weekly) for zone in zones
        )

    def _regions(self, place: tuple[str, tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
        """Returns the regions of a place; without any, all regions of its country that the rules name."""
        country, regions, _ = place
        return regions or tuple(region for of, region in sorted(self.named_regions | {(country, "")}) if of == country)

    def _bound(self, country: str, region: str, purpose: str | None) -> list[list[Row]]:
        return [
            rule
            for rule in self.rules
            if rule[0]["country"] == country
            and rule[0]["region"] in ("", region)
            and purpose != "emergency"
            and (purpose is None or rule[0]["purposes"] == "*" or purpose in rule[0]["purposes"].split())
        ]

    def _after_caps(
        self, country: str, regions: tuple[str, ...], purpose: str | None, at: datetime, dialed_at: list[datetime]
    ) -> datetime:
        caps = {
            (int(row["max_calls"]), timedelta(hours=int(row["within_hours"])))
            for region in regions
            for rule in self._bound(country, region, purpose)
            for row in rule
            if row["max_calls"]
        } or {
            (int(row["max_calls"]), timedelta(hours=int(row["within_hours"])))
            for rule in self._bound("*", "", purpose)
            for row in rule
            if row["max_calls"]
        }
        ends = sorted(dialed + within for dialed in dialed_at for _, within in caps)
        for instant in [at, *(end for end in ends if end > at)]:
            if all(sum(dialed + within > instant for dialed in dialed_at) < most for most, within in caps):
                return instant
        raise AssertionError("after the end of each cap, a call is permitted")

    def _is_open(
        self,
        country: str,
        regions: tuple[str, ...],
        purpose: str | None,
        local: datetime,
        weekly: list[tuple[str, str, str]] | None,
    ) -> bool:
        day = local.date()
        key = (country, regions, purpose, day)
        if key not in self._open_minutes:
            minutes = [self._open_on(country, region, purpose, day) for region in regions]
            self._open_minutes[key] = frozenset.intersection(*minutes)
        minute = local.hour * 60 + local.minute
        return minute in self._open_minutes[key] and (
            weekly is None
            or any(
                DAYS[day.weekday()] in names_of(word) and minute_of(opens) <= minute < minute_of(closes)
                for days, opens, closes in weekly
                for word in days.split()
            )
        )

    def _open_on(self, country: str, region: str, purpose: str | None, day: date) -> frozenset[int]:
        for rules in (self._bound(country, region, purpose), self._bound("*", "", purpose)):
            if applied := [rows for rule in rules if (rows := self._rows_of_day(rule, country, region, day))]:
                return frozenset.intersection(*(open_minutes(rows) for rows in applied))
        return frozenset(range(24 * 60))

    def _rows_of_day(self, rule: list[Row], country: str, region: str, day: date) -> list[Row]:
        """Returns the rows that name the date: by itself, as a holiday, as the day before one, or by its weekday."""

        def named(name: str) -> list[Row]:
            return [row for row in rule for word in row["days"].split() if name in names_of(word)]

        def is_holiday(one: date) -> bool:
            is_strict = rule[0]["kind"] == "law" and not region
            return one in public_holidays(country, None if is_strict else region, one.year)

        candidates = [named(day.isoformat())]
        candidates += [named("hol")] if is_holiday(day) else []
        candidates += [named("eve")] if is_holiday(day + timedelta(days=1)) else []
        candidates += [named(DAYS[day.weekday()])]
        return next((rows for rows in candidates if rows), [])
