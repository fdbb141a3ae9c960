"""The form of a campaign: its fields, the body of the REST API that they become, and the fields of present terms.

Nothing is validated here. A value that is no number is sent as it was typed, and the REST API names it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from centralita_console.campaign_hours import DAYS
from centralita_console.rest_values import as_utc

NAMES = ("campaign_id", "name", "script_template", "language", "mode", "purpose", "company", "caller_id")
INSTANTS = ("starts_at", "ends_at")
INTEGERS = ("max_concurrent_calls", "max_attempts", "max_attempts_per_day")
MODE, DEFAULT_MODE = "mode", "turn_based"
RATE = "calls_per_minute"
HOURS = "weekly_hours"
FURTHER_HOURS = "further_hours"
LISTS = "do_not_call_lists"
TOOLS = "tools"
FIELDS = (*NAMES, *INSTANTS, *INTEGERS, RATE, HOURS, LISTS, TOOLS)
"""The fields of the REST API that the form has."""
INPUTS = (*FIELDS, FURTHER_HOURS, *(f"day_{day}" for day in DAYS), "opens_at", "closes_at")
"""The names of the form's own fields; those of `weekly_hours` become one field of the REST API."""


@dataclass(frozen=True, slots=True)
class FormErrors:
    """What is wrong: by field, and what concerns none of the fields."""

    fields: Mapping[str, str]
    other: str

    @classmethod
    def of(cls, errors: Mapping[str, str], detail: str, fields: Collection[str] = FIELDS) -> "FormErrors":
        """Returns the errors of a refusal. One of a part of a field, such as `weekly_hours.0`, is one of the field.

        `fields`: those of the form.
        """
        found: dict[str, str] = {}
        others = []
        for place, message in errors.items():
            field = place.partition(".")[0]
            if field in fields:
                found.setdefault(field, message)
            else:
                others.append(f"{place}: {message}")
        return cls(found, "; ".join(others) if errors else detail)


NO_ERRORS = FormErrors({}, "")


def body_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body for the fields of the form. Empty fields are left out."""
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    body: dict[str, Any] = {name: given[name].replace("\r\n", "\n") for name in NAMES if name in given}
    body |= {name: as_utc(given[name]) for name in INSTANTS if name in given}
    body |= {name: _number(given[name], int) for name in INTEGERS if name in given}
    if RATE in given:
        body[RATE] = _number(given[RATE], float)
    if LISTS in given:
        body[LISTS] = given[LISTS].split()
    if TOOLS in given:
        body[TOOLS] = _document(given[TOOLS])
    if hours := _hours(given):
        body[HOURS] = hours
    return body


def _hours(given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Returns the windows: that of the boxes, and one for each further line."""
    days = [day for day in DAYS if f"day_{day}" in given]
    windows = []
    if days or "opens_at" in given or "closes_at" in given:
        windows.append(_window(days, given.get("opens_at", ""), given.get("closes_at", "")))
    for line in given.get(FURTHER_HOURS, "").splitlines():
        *days, times = line.split() or [""]
        opens_at, _, closes_at = times.partition("-")
        windows += [_window(days, opens_at, closes_at)] if times else []
    return windows


def _window(days: list[str], opens_at: str, closes_at: str) -> dict[str, Any]:
    return {"days": days, "opens_at": opens_at, "closes_at": closes_at}


def fields_of(terms: Mapping[str, Any]) -> dict[str, str]:
    """Returns the fields of the form for the terms of a campaign, as the REST API returns them."""
    fields = {name: str(terms[name]) for name in (*NAMES, *INTEGERS) if terms.get(name) is not None}
    if fields.get(MODE) == DEFAULT_MODE:  # the form leaves it out, as it leaves out other defaults
        del fields[MODE]
    fields |= {name: _local(terms[name]) for name in INSTANTS if terms.get(name)}
    if terms.get(RATE) is not None:
        fields[RATE] = f"{terms[RATE]:.12g}"
    if terms.get(LISTS):
        fields[LISTS] = " ".join(terms[LISTS])
    if terms.get(TOOLS) is not None:
        fields[TOOLS] = tools_text(terms[TOOLS])
    windows = list(terms.get(HOURS) or ())
    if windows and set(windows[0]["days"]) <= set(DAYS):
        first = windows.pop(0)
        fields |= {f"day_{day}": "1" for day in first["days"]}
        fields |= {"opens_at": first["opens_at"], "closes_at": first["closes_at"]}
    if windows:
        fields[FURTHER_HOURS] = hours_text(windows)
    return fields


def hours_text(windows: Sequence[Mapping[str, Any]]) -> str:
    """Returns windows as the form has them, a line each."""
    return "\n".join(f"{' '.join(one['days'])} {one['opens_at']}-{one['closes_at']}" for one in windows)


def tools_text(tools: object) -> str:
    """Returns the tools of a campaign as the form has them: JSON."""
    return json.dumps(tools, indent=2, ensure_ascii=False)


def _document(text: str) -> object:
    """Returns a JSON document, or the text if it is none, so that the REST API refuses it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _local(instant: str) -> str:
    """Returns an instant as the field of the form has it: in UTC, without a time zone, with no more than it needs."""
    at = datetime.fromisoformat(instant).astimezone(UTC).replace(tzinfo=None)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds" if at.second else "minutes")


def _number(text: str, kind: type[int] | type[float]) -> int | float | str:
    try:
        number = kind(text)
    except ValueError:
        return text
    return number if abs(number) < float("inf") else text
