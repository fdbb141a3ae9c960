"""The form that creates a campaign: its fields, and the body of the REST API that they become.

Nothing is validated here. A value that is no number is sent as it was typed, and the REST API names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

NAMES = ("campaign_id", "name", "script_template", "language", "purpose", "company", "caller_id")
INSTANTS = ("starts_at", "ends_at")
INTEGERS = ("max_concurrent_calls", "max_attempts", "max_attempts_per_day")
RATE = "calls_per_minute"
HOURS = "weekly_hours"
LISTS = "do_not_call_lists"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FIELDS = (*NAMES, *INSTANTS, *INTEGERS, RATE, HOURS, LISTS)
"""The fields of the REST API that the form has."""


@dataclass(frozen=True, slots=True)
class FormErrors:
    """What is wrong: by field, and what concerns none of the fields."""

    fields: Mapping[str, str]
    other: str

    @classmethod
    def of(cls, errors: Mapping[str, str], detail: str) -> "FormErrors":
        """Returns the errors of a refusal. One of a part of a field, such as `weekly_hours.0`, is one of the field."""
        found: dict[str, str] = {}
        others = []
        for place, message in errors.items():
            field = place.partition(".")[0]
            if field in FIELDS:
                found.setdefault(field, message)
            else:
                others.append(f"{place}: {message}")
        return cls(found, "; ".join(others) if errors else detail)


NO_ERRORS = FormErrors({}, "")


def body_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body for the fields of the form. Empty fields are left out."""
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    body: dict[str, Any] = {name: given[name].replace("\r\n", "\n") for name in NAMES if name in given}
    body |= {name: _instant(given[name]) for name in INSTANTS if name in given}
    body |= {name: _number(given[name], int) for name in INTEGERS if name in given}
    if RATE in given:
        body[RATE] = _number(given[RATE], float)
    if LISTS in given:
        body[LISTS] = given[LISTS].split()
    days = [day for day in DAYS if f"day_{day}" in given]
    if days or "opens_at" in given or "closes_at" in given:
        body[HOURS] = [{"days": days, "opens_at": given.get("opens_at", ""), "closes_at": given.get("closes_at", "")}]
    return body


def _instant(text: str) -> str:
    """Returns an instant without a time zone as one in UTC, which the field of the form has."""
    try:
        return text if datetime.fromisoformat(text).tzinfo else f"{text}Z"
    except ValueError:
        return text


def _number(text: str, kind: type[int] | type[float]) -> int | float | str:
    try:
        number = kind(text)
    except ValueError:
        return text
    return number if abs(number) < float("inf") else text
