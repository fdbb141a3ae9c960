"""What a person changes of a campaign, also if someone else changes it meanwhile.

The form has each term, touched or not. Sent as it is, it would undo what someone else has changed since it was shown.
So it has a digest of each term that it showed (`seen_of`): a term whose field still has this digest was not touched,
and keeps its present value. One that both have changed is named, before anything is sent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from centralita_console.campaign_form import FIELDS, HOURS, LISTS, TOOLS, body_of, fields_of, hours_text, tools_text

TERMS = FIELDS[1:]
"""The fields of the form but for the id, which cannot be changed."""
SEEN = "seen"
APPLIES = {
    "name": "campaign",
    **dict.fromkeys(("starts_at", "ends_at", "max_concurrent_calls", "calls_per_minute"), "slot"),
    **dict.fromkeys(("purpose", "weekly_hours", "do_not_call_lists"), "dial"),
}
"""To which calls a changed term applies (docs/campaigns.md); the others only to calls that are created afterwards."""


@dataclass(frozen=True, slots=True)
class ChangedTerm:
    """One term that a person changes. `is_contested`: someone else has changed it since the form was shown."""

    name: str
    before: str
    after: str
    is_contested: bool

    @property
    def applies(self) -> str:
        """To which calls: `campaign`, `slot`, `dial` or `create`."""
        return APPLIES.get(self.name, "create")


@dataclass(frozen=True, slots=True)
class Change:
    """The terms to send, and those of them that differ from the present ones."""

    body: dict[str, Any]
    lines: tuple[ChangedTerm, ...]


def seen_of(terms: Mapping[str, Any]) -> str:
    """Returns a digest of each term that a form with these terms shows."""
    shown = body_of(fields_of(terms))
    return " ".join(_digest(shown.get(name)) for name in TERMS)


def change_of(fields: Mapping[str, str], terms: Mapping[str, Any]) -> Change:
    """Returns what a form changes of the present terms. Terms that it did not change, or does not have, stay."""
    typed, present = body_of(fields), body_of(fields_of(terms))
    seen = dict(zip(TERMS, fields.get(SEEN, "").split(), strict=False))
    body, lines = dict(terms), []
    for name in TERMS:
        before, after = _digest(present.get(name)), _digest(typed.get(name))
        if after in (seen.get(name), before):
            continue
        body.pop(name, None)
        body |= {name: typed[name]} if name in typed else {}
        lines.append(ChangedTerm(name, _text(name, present), _text(name, typed), before != seen.get(name)))
    return Change(body, tuple(lines))


def _text(name: str, body: Mapping[str, Any]) -> str:
    """Returns a term for people; empty if it is not given."""
    value = body.get(name)
    if name == HOURS:
        return hours_text(value or ())
    if name == TOOLS and value is not None:
        return tools_text(value)
    return " ".join(value or ()) if name == LISTS else "" if value is None else f"{value}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
