"""The result of a check of the installation, for people: what was found, and the remedy."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """A failure prevents every call; a warning may be intended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `found` never contains a secret; `advice`: the remedy, if one is needed."""

    area: str
    check: str
    result: Result
    found: str
    advice: str = ""


MAX_LISTED = 4
"""So many names are in one text: a finding stays readable."""


def listed(text: str, names: Collection[str]) -> str:
    """Returns the text with the first of the sorted names."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{text} {', '.join(sorted(names)[:MAX_LISTED])}{more}"


def ok(area: str, check: str, found: str) -> Finding:
    """Returns a finding without a problem."""
    return Finding(area, check, Result.OK, found)


def warning(area: str, check: str, found: str, advice: str) -> Finding:
    """Returns a finding that may be intended."""
    return Finding(area, check, Result.WARNING, found, advice)


def failed(area: str, check: str, found: str, advice: str) -> Finding:
    """Returns a finding that prevents every call."""
    return Finding(area, check, Result.FAILED, found, advice)


def skipped(area: str, check: str, found: str) -> Finding:
    """Returns a check that was not possible, for a reason that has its own finding."""
    return Finding(area, check, Result.SKIPPED, found)
