"""The error of a message that is no event, or an event that only a newer build knows."""

from collections.abc import Sequence
from typing import Self

from pydantic import ValidationError

MAX_REASONS = 10
MAX_REASON_LENGTH = 300
_UNKNOWN_TO_THIS_BUILD = frozenset({"enum", "extra_forbidden"})
"""The types of pydantic's errors that an additive change of a contract causes in an older build."""


class InvalidMessage(ValueError):
    """Raised for a message that is no event. `reasons` has a line per wrong field, without any of its values.

    `may_be_newer`: nothing is wrong but an event type, a field or a value that this build does not know. A newer build
    may have published the message.
    """

    def __init__(self, reasons: list[str], *, may_be_newer: bool = False) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
        self.may_be_newer = may_be_newer

    @classmethod
    def of(cls, error: ValidationError) -> Self:
        """Returns the error of a body that is not valid."""
        types = {detail["type"] for detail in error.errors(include_input=False, include_url=False)}
        return cls(reasons_of(error), may_be_newer=types <= _UNKNOWN_TO_THIS_BUILD)


def reasons_of(error: ValidationError) -> list[str]:
    """Returns one line per wrong field: where, and what to do. Values are left out: they are personal data.

    Names of fields come from the sender, so the lines are bounded.
    """
    return bounded(
        [
            f"{'.'.join(str(part) for part in detail['loc']) or 'body'}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_input=False, include_url=False)
        ]
    )


def bounded(reasons: Sequence[str]) -> list[str]:
    """Returns at most `MAX_REASONS` lines of at most `MAX_REASON_LENGTH` printable characters."""
    lines = list(reasons)
    if len(lines) > MAX_REASONS:
        lines = [*lines[: MAX_REASONS - 1], f"and {len(lines) - MAX_REASONS + 1} more"]
    return [_printable(line[:MAX_REASON_LENGTH]) for line in lines]


def _printable(text: str) -> str:
    """Returns the text without control characters, and without surrogates, which UTF-8 cannot encode."""
    return "".join(character if character.isprintable() else "?" for character in text)
