"""Matching subjects with filters in the client, as the server does."""

import re
from collections.abc import Callable, Sequence

_ANY_TOKEN, _ANY_REST = "*", ">"


def is_literal(filter: str) -> bool:
    """Returns whether a filter matches one subject only."""
    return not {_ANY_TOKEN, _ANY_REST} & {*filter.split(".")}


def matcher(filters: Sequence[str]) -> Callable[[str], bool]:
    """Returns a function that tells whether a subject matches one of the filters; without filters, every one does."""
    if not filters:
        return lambda _: True
    pattern = re.compile("|".join(map(_pattern, filters)))
    return lambda subject: pattern.fullmatch(subject) is not None


def _pattern(filter: str) -> str:
    tokens = {_ANY_TOKEN: r"[^.]+", _ANY_REST: ".+"}
    return r"\.".join(tokens.get(token) or re.escape(token) for token in filter.split("."))


def merged(filters: Sequence[str]) -> list[str]:
    """Returns fewer filters that match at least the same subjects: one per family and number of tokens."""
    groups: dict[tuple[str, int], list[list[str]]] = {}
    for tokens in (filter.split(".") for filter in filters):
        groups.setdefault((tokens[0], len(tokens)), []).append(tokens)
    return [".".join(map(_common, zip(*group, strict=True))) for group in groups.values()]


def _common(tokens: Sequence[str]) -> str:
    return tokens[0] if len({*tokens}) == 1 else _ANY_TOKEN
