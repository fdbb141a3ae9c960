"""One row of a table of rules: its columns, and the check of their values."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from call_orchestrator.domain.calling_policy.public_holidays import regions_of
from call_orchestrator.domain.calling_policy.rules import DEFAULT_COUNTRY, HOLIDAY, HOLIDAY_EVE, Cap, Kind, Requirement
from call_orchestrator.domain.calling_policy.windows import CLOSED, Windows, parse_weekdays, parse_window
from call_orchestrator.domain.tables import CONFIDENCE, Line, not_empty, one_of
from contracts.numbers import COUNTRIES
from contracts.vocabulary import MAX_DIALS, Purpose

COLUMNS = (
    *("country", "region", "purposes", "voice", "days", "opens_at", "closes_at", "max_calls", "within_hours"),
    *("requires_consent", "kind", "basis", "source", "confidence"),
)
REQUIRES = "requires"
"""A column that a file may leave out."""
PURPOSES = tuple(purpose for purpose in Purpose if purpose is not Purpose.EMERGENCY)
EVERY_REGION = "*"
"""As the region in an operator's file: the row replaces those of the country and of all its regions; with the country
``*``, the whole shipped table."""
MAX_WITHIN_HOURS = 366 * 24

RuleKey = tuple[str, str, frozenset[Purpose], str, str]
"""What identifies a rule: country, region, purposes, voice and basis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One valid row. `windows` of a day: one window, or none if the day is closed."""

    line: int
    country: str
    region: str
    purposes: frozenset[Purpose]
    voice: str
    windows: dict[str, Windows]
    cap: Cap | None
    requires_consent: bool
    requires: frozenset[Requirement]
    kind: Kind
    basis: str

    @property
    def key(self) -> RuleKey:
        """The identity of the rule to which the row belongs."""
        return self.country, self.region, self.purposes, self.voice, self.basis


def checked_row(line: Line) -> Row:
    """Returns the row of a line. Raises InvalidTable, which names the file, the line and the column."""
    value, cells = line.value, line.cells
    country = value("country", _country)
    days = value("days", _days)
    value("confidence", CONFIDENCE)
    max_calls = value("max_calls", _number(MAX_DIALS))
    within_hours = value("within_hours", lambda text: _within_hours(text, max_calls))
    window = value("opens_at", lambda text: _window(text, cells["closes_at"], days))
    return Row(
        line=line.number,
        country=country,
        region=value("region", lambda text: _region(text, country)),
        purposes=value("purposes", _purposes),
        voice=value("voice", one_of("automated", "any")),
        windows=dict.fromkeys(days, window),
        cap=Cap(max_calls, timedelta(hours=within_hours)) if max_calls and within_hours else None,
        requires_consent=value("requires_consent", one_of("yes", "no")) == "yes",
        requires=value(REQUIRES, _requirements),
        kind=Kind(value("kind", one_of(*Kind))),
        basis=value("basis", not_empty),
    )


def _country(text: str) -> str:
    if text != DEFAULT_COUNTRY and text not in COUNTRIES:
        raise ValueError(f"{text!r} is no country; write two capital letters (ISO 3166-1), or * for the default")
    return text


def _region(text: str, country: str) -> str:
    if text == EVERY_REGION:
        return text
    known = regions_of(country)
    if text and country == DEFAULT_COUNTRY:
        raise ValueError("the default (country *) has no regions; leave it empty")
    if text and text not in known:
        remedy = f"one of {' '.join(known)}" if known else "nothing"
        raise ValueError(f"{text!r} is no region of {country}; write {remedy}, or leave it empty for the whole country")
    return text


def _purposes(text: str) -> frozenset[Purpose]:
    words = text.split()
    if words == ["*"]:
        return frozenset()
    if not words or any(word not in PURPOSES for word in words):
        raise ValueError(f"{text!r} names no purpose; write * for all, or some of {' '.join(PURPOSES)}")
    return frozenset(Purpose(word) for word in words)


def _requirements(text: str) -> frozenset[Requirement]:
    try:
        return frozenset(Requirement(word) for word in text.split())
    except ValueError:
        raise ValueError(f"{text!r} is not known; write some of {' '.join(Requirement)}, or leave it empty") from None


def _days(text: str) -> list[str]:
    return [day for word in text.split() for day in _days_of(word)]


def _days_of(word: str) -> list[str]:
    if word in (HOLIDAY, HOLIDAY_EVE):
        return [word]
    if word[0].isdigit():
        try:
            return [date.fromisoformat(word).isoformat()]
        except ValueError:
            raise ValueError(f"{word!r} is no date; write it as 2026-12-24") from None
    try:
        return parse_weekdays(word)
    except ValueError as error:
        raise ValueError(
            f"{error}; hol is a public holiday, eve the day before one; put spaces between words"
        ) from None


def _window(opens_at: str, closes_at: str, days: list[str]) -> Windows:
    if not opens_at and not closes_at:
        return CLOSED
    if not opens_at or not closes_at:
        raise ValueError("opens_at and closes_at belong together; give both, or neither if the days are closed")
    if not days:
        raise ValueError("hours without days; name the days in the column days, such as mon-fri")
    return (parse_window(opens_at, closes_at),)


def _number(maximum: int) -> Callable[[str], int | None]:
    def convert(text: str) -> int | None:
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= maximum:
            raise ValueError(f"{text!r} is no number from 1 to {maximum}; correct it, or leave it empty for no cap")
        return int(text)

    return convert


def _within_hours(text: str, max_calls: int | None) -> int | None:
    hours = _number(MAX_WITHIN_HOURS)(text)
    if (hours is None) != (max_calls is None):
        raise ValueError("max_calls and within_hours belong together; give both, or neither for no cap")
    return hours
