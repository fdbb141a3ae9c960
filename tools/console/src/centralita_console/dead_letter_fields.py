"""The fields of a dead letter's message, each beside the reasons that name it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a message and what is wrong with it. `is_missing`: the message has no value of this name."""

    path: str
    value: Any
    is_missing: bool
    reasons: tuple[str, ...]


def fields_of(dead_letter: Mapping[str, Any]) -> list[Field]:
    """Returns the fields in the order of the message. Those that a reason names and that it lacks come first.

    A reason of the contract is ``path: text``. Any other one has the path ``""``.
    """
    body = (dead_letter.get("message") or {}).get("body")
    values = list(_leaves(body, ())) if isinstance(body, dict | list) else []
    paths = {path for path, _ in values}
    named: dict[str, list[str]] = {}
    for reason in dead_letter["reasons"]:
        path, separator, text = reason.partition(": ")
        is_path = bool(separator) and " " not in path
        known = _owner(path, paths) if is_path else ""
        named.setdefault(known, []).append(text if is_path and known == path else reason)
    general = [Field("", None, False, tuple(named.pop("")))] if "" in named else []
    found = [Field(path, value, False, tuple(named.pop(path, ()))) for path, value in values]
    others = [Field(path, None, True, tuple(reasons)) for path, reasons in named.items()]
    return [*general, *others, *found]


def _owner(path: str, paths: set[str]) -> str:
    """Returns the field of a reason: the named one, or the nearest one above it that the message has."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if (shorter := ".".join(parts[:length])) in paths:
            return shorter
    return path


def _leaves(value: Any, path: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yields each value that is neither an object nor an array with members, and its path."""
    members: Sequence[tuple[str, Any]] = ()
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = [(str(number), one) for number, one in enumerate(value)]
    if not members and path:
        yield ".".join(path), value
    for name, one in members:
        yield from _leaves(one, (*path, str(name)))
