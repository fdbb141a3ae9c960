"""What a message is that is no event."""

from pydantic import ValidationError


class InvalidMessage(ValueError):
    """A message that is no event; `reasons` says why, a line per field, and repeats nothing of what was in it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def reasons_of(error: ValidationError) -> list[str]:
    """One line per field that is wrong: where, and what to do. Values are left out: they are personal data."""
    return [
        f"{'.'.join(str(part) for part in detail['loc']) or 'body'}: {detail['msg'].removeprefix('Value error, ')}"
        for detail in error.errors(include_input=False, include_url=False)
    ]
