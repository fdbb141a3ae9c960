"""Telephone numbers of fiction, one for each request of a test: the service makes at most one call to a number."""

from centralita.embedded.fictional_numbers import fictional_number

_NUMBERS: dict[str, str] = {}


def number_for(request_id: str) -> str:
    """Returns the number of a request, always the same one; it is of the state of New York."""
    return _NUMBERS.setdefault(request_id, fictional_number(len(_NUMBERS) % 1600))
