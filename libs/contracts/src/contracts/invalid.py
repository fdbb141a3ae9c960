"""The error of a message that is no event."""

from pydantic import ValidationError


class InvalidMessage(ValueError):
    """Raised for a message that is no event. `reasons` has a line per wrong field, without any of its values."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def reasons_of(error: ValidationError) -> list[str]:
    """Returns one line per wrong field: where, and what to do. Values are left out: they are personal data."""
    return [
        f"{'.'.join(str(part) for part in detail['loc']) or 'body'}: {detail['msg'].removeprefix('Value error, ')}"
        for detail in error.errors(include_input=False, include_url=False)
    ]
