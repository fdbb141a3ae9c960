"""What a check finds."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """A warning is something that may be right; a failure is something that no call gets past."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `found` never holds a secret; `advice`: what to do about it, where there is something to be done."""

    area: str
    check: str
    result: Result
    found: str
    advice: str = ""


def ok(area: str, check: str, found: str) -> Finding:
    """It is as it should be."""
    return Finding(area, check, Result.OK, found)


def warning(area: str, check: str, found: str, advice: str) -> Finding:
    """It may be right."""
    return Finding(area, check, Result.WARNING, found, advice)


def failed(area: str, check: str, found: str, advice: str) -> Finding:
    """No call gets past this."""
    return Finding(area, check, Result.FAILED, found, advice)


def skipped(area: str, check: str, found: str) -> Finding:
    """It could not be asked, for a reason that has a finding of its own."""
    return Finding(area, check, Result.SKIPPED, found)
