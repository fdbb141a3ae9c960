"""When the rules and a campaign's hours are open for a person, and which of them is closed at an instant.

What many calls have in common is computed once and cached: the windows of a local date, and the open spans of a day of
UTC. Both depend on where a person may be, not on who it is. So a decision reads a few cached spans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from call_orchestrator.domain.calling_policy.local_time import (
    Spans,
    begin_of_utc_day,
    intersected_spans,
    spans_of,
)
from call_orchestrator.domain.calling_policy.rules import DEFAULT_COUNTRY, HOLIDAY, Requirement, Rule
from call_orchestrator.domain.calling_policy.windows import (
    WEEKDAYS,
    WHOLE_DAY,
    WeeklyHours,
    Windows,
    format_windows,
    intersected,
)
from contracts.callees import Callee
from contracts.time_zones import zone_of
from contracts.vocabulary import Purpose

MAX_SEARCH = timedelta(days=15)
"""How far ahead an open span is searched."""
MAX_CACHED = 8192
"""How many dates, and how many days of UTC, are cached."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A rule as it applies to a local date: its windows then. `is_holiday`: they are not those of the weekday."""

    rule: Rule
    windows: Windows
    is_holiday: bool
    outside: str
    """What an instant outside the windows is, for a person to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What is closed at an instant, and the details for a person to read."""

    rule: str
    detail: str


class Schedule:
    """The opening times of a set of rules. `purpose`: None applies the rules of all; `hours`: those of a campaign."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._default = tuple(rule for rule in rules if rule.country == DEFAULT_COUNTRY)
        self._rules = tuple(rule for rule in rules if rule.country != DEFAULT_COUNTRY)
        self._regions = lru_cache(maxsize=256)(self._find_regions)
        self._applied = lru_cache(maxsize=MAX_CACHED)(self._find_applied)
        self._windows = lru_cache(maxsize=MAX_CACHED)(self._find_windows)
        self._spans = lru_cache(maxsize=MAX_CACHED)(self._find_spans)
        self._binding = lru_cache(maxsize=1024)(self._find_binding)
        self.requiring = lru_cache(maxsize=1024)(self._find_requiring)
        self.capping = lru_cache(maxsize=1024)(self._find_capping)

    def next_open(
        self, callee: Callee, purpose: Purpose | None, hours: WeeklyHours | None, at: datetime
    ) -> datetime | None:
        """Returns the first open instant from `at` (UTC) on; None if there is none in the period of the search."""
        latest = at + MAX_SEARCH
        day = at.date()
        while begin_of_utc_day(day) <= latest:
            for begin, end in self._spans(callee, purpose, hours, day):
                if at < end:
                    return max(at, begin) if begin <= latest else None
            day += timedelta(days=1)
        return None

    def open_until(
        self, callee: Callee, purpose: Purpose | None, hours: WeeklyHours | None, at: datetime
    ) -> datetime | None:
        """Returns the end of the open time around an instant (UTC); None if the next day of UTC ends before it does."""
        until, day = at, at.date()
        for utc_day in (day, day + timedelta(days=1)):
            for begin, end in self._spans(callee, purpose, hours, utc_day):
                if begin <= until < end:
                    until = end
        return until if until < begin_of_utc_day(day + timedelta(days=2)) else None

    def describe_open(self, callee: Callee, purpose: Purpose | None, at: datetime) -> str:
        """Returns the narrowest window of the rules at an instant when they are open, for a person to read."""
        local = at.astimezone(zone_of(callee.zones[0]))
        minute = local.hour * 60 + local.minute
        narrowest = min(
            (
                (end - begin, begin, end, one.rule.described)
                for region in self._regions(callee)
                for one in self._applied(callee.country, region, purpose, local.date())
                for begin, end in one.windows
                if begin <= minute < end
            ),
            default=None,
        )
        if narrowest is None:
            return f"{_shown(local, callee)} is restricted by no rule"
        _, begin, end, basis = narrowest
        consents = [rule.described for rule in self._binding(callee, purpose) if rule.requires_consent]
        required = f"; prior consent required by {', '.join(consents)}" if consents else ""
        return f"{_shown(local, callee)} is within {format_windows(((begin, end),))} ({basis}){required}"

    def closed(self, callee: Callee, purpose: Purpose | None, hours: WeeklyHours | None, at: datetime) -> Closed | None:
        """Returns what is closed at an instant, rules before the campaign's hours; None if nothing is."""
        locals_ = [at.astimezone(zone_of(zone)) for zone in callee.zones]
        for local in locals_:
            for region in self._regions(callee):
                for one in self._applied(callee.country, region, purpose, local.date()):
                    if not _is_within(local, one.windows):
                        detail = f"{_shown(local, callee)} is {one.outside}"
                        return Closed(rule="holiday" if one.is_holiday else "calling_hours", detail=detail)
        for local in locals_ if hours else ():
            if hours and not _is_within(local, windows := hours.on(local.date())):
                shown = f"the campaign's hours: {format_windows(windows)}"
                return Closed(rule="campaign_hours", detail=f"{_shown(local, callee)} is outside {shown}")
        return None

    def _find_binding(self, callee: Callee, purpose: Purpose | None) -> tuple[Rule, ...]:
        """Returns the rules of all possible regions for a purpose, without the house default."""
        rules = (rule for region in self._regions(callee) for rule in self._rules_of(callee.country, region, purpose))
        return tuple({id(rule): rule for rule in rules}.values())

    def _find_requiring(self, callee: Callee, purpose: Purpose | None) -> dict[Requirement, Rule]:
        """Returns what the rules of all possible regions and the house default require, each with its first rule."""
        default = (rule for rule in self._default if rule.applies_to(purpose))
        rules = (*self._binding(callee, purpose), *default)
        found = {requirement: rule for rule in reversed(rules) for requirement in rule.requires}
        return dict(sorted(found.items()))

    def _find_capping(self, callee: Callee, purpose: Purpose | None) -> tuple[Rule, ...]:
        """Returns the rules with caps; those of the house default if no other rule has one."""
        default = tuple(rule for rule in self._default if rule.applies_to(purpose) and rule.caps)
        return tuple(rule for rule in self._binding(callee, purpose) if rule.caps) or default

    def _rules_of(self, country: str, region: str, purpose: Purpose | None) -> tuple[Rule, ...]:
        return tuple(
            rule
            for rule in self._rules
            if rule.country == country and rule.region in ("", region) and rule.applies_to(purpose)
        )

    def _find_regions(self, callee: Callee) -> tuple[str, ...]:
        """Returns the possible regions. Unknown: each one that has rules, and any other one, whose name is empty."""
        named = {rule.region for rule in self._rules if rule.country == callee.country}
        return callee.regions or tuple(sorted(named | {""}))

    def _find_applied(self, country: str, region: str, purpose: Purpose | None, day: date) -> tuple[Applied, ...]:
        """Returns the rules that restrict a date; those of the house default if no other rule does."""
        default = tuple(rule for rule in self._default if rule.applies_to(purpose))
        for rules in (self._rules_of(country, region, purpose), default):
            names = ((rule, rule.day_name(day, country, region)) for rule in rules)
            if applied := tuple(_applied(rule, name, day) for rule, name in names if name):
                return applied
        return ()

    def _find_windows(self, callee: Callee, purpose: Purpose | None, hours: WeeklyHours | None, day: date) -> Windows:
        """Returns the windows of a local date that are open in all possible regions."""
        windows = hours.on(day) if hours else WHOLE_DAY
        for region in self._regions(callee):
            for one in self._applied(callee.country, region, purpose, day):
                windows = intersected(windows, one.windows)
        return windows

    def _find_spans(self, callee: Callee, purpose: Purpose | None, hours: WeeklyHours | None, utc_day: date) -> Spans:
        """Returns the spans of a day of UTC that are open in all possible zones."""
        spans: Spans | None = None
        for zone in callee.zones:
            found = spans_of(utc_day, zone_of(zone), lambda day: self._windows(callee, purpose, hours, day))
            spans = found if spans is None else intersected_spans(spans, found)
        return spans or ()


def _applied(rule: Rule, day_name: str, day: date) -> Applied:
    windows = rule.windows[day_name]
    is_holiday = day_name == HOLIDAY and windows != rule.windows.get(WEEKDAYS[day.weekday()])
    hours = f"outside {format_windows(windows)}" if windows else "on a closed day"
    kind = ", a public holiday" if is_holiday else ""
    return Applied(rule, windows, is_holiday, f"{hours}{kind} ({rule.described})")


def _is_within(local: datetime, windows: Windows) -> bool:
    minute = local.hour * 60 + local.minute
    return any(begin <= minute < end for begin, end in windows)


def _shown(local: datetime, callee: Callee) -> str:
    """Returns a local time with its zone, and the number of other possible zones."""
    others = len(callee.zones) - 1
    more = f" (one of {others + 1} possible zones)" if others else ""
    return f"{local.isoformat(' ', 'minutes')[:16]} ({WEEKDAYS[local.weekday()]}) in {local.tzinfo}{more}"
