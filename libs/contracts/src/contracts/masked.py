"""A message as an operator may see it: its JSON without personal data, so that a wrong field can be found.

Only fields that the contract knows, and does not mark as personal, keep their values. A sender may have put anything
into all others, so of these the shape is left: ``x`` for a letter and ``9`` for a digit, as in ``+9 (999) 999-9999``.
The document has at most the sizes below, also for a hostile message.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contracts.events import EVENTS
from contracts.personal import is_personal, nested_models

MAX_VALUES = 200
MAX_DEPTH = 8
MAX_NAME_LENGTH = 100
MAX_TEXT_LENGTH = 200
MAX_SHAPE_LENGTH = 80
MAX_NUMBER = 10**6
"""A larger one may be a telephone number."""
OMITTED = "…"
_MAX_DIGITS = 6
_KEPT = frozenset(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def masked(subject: str, document: object) -> Any:
    """Returns the JSON document of a message on a subject without personal data. Its size is bounded."""
    model = EVENTS.get(".".join(subject.split(".")[:2]))
    return _Masking().of(document, (model,) if model else (), is_known=False, depth=0)


def shape(text: str) -> str:
    """Returns a text with ``x`` in place of each letter, ``9`` of each digit, and ``?`` of what is not ASCII."""
    shown = "".join(_shape_of(character) for character in text[:MAX_SHAPE_LENGTH])
    return shown if len(text) <= MAX_SHAPE_LENGTH else f"{shown}{OMITTED} ({len(text)} characters)"


def _shape_of(character: str) -> str:
    if character.isalpha():
        return "x"
    if character.isdigit():
        return "9"
    return character if character in _KEPT else "?"


class _Masking:
    """Counts the values of one document: after `MAX_VALUES` the rest is left out."""

    def __init__(self) -> None:
        self._count = 0

    def of(self, value: object, models: tuple[type[BaseModel], ...], *, is_known: bool, depth: int) -> Any:
        """Returns a value masked. `models`: those that describe it; `is_known`: it may be shown."""
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            return OMITTED
        if isinstance(value, dict):
            return self._object(value, models, depth)
        if isinstance(value, list):
            kept = value[: MAX_VALUES - self._count + 1]
            return [self.of(one, models, is_known=is_known, depth=depth + 1) for one in kept]
        return _known(value) if is_known else _unknown(value)

    def _object(self, value: Mapping[str, object], models: tuple[type[BaseModel], ...], depth: int) -> dict[str, Any]:
        fields = {name: info for model in models for name, info in model.model_fields.items()}
        found: dict[str, Any] = {}
        for name, one in value.items():
            if self._count >= MAX_VALUES:
                found[OMITTED] = f"{len(value) - len(found)} more"
                break
            info = fields.get(name)
            shown = name if info else _name(name)
            found[shown] = self.of(one, _models(info), is_known=_may_be_shown(info), depth=depth + 1)
        return found


def _may_be_shown(info: FieldInfo | None) -> bool:
    return info is not None and not is_personal(info)


def _models(info: FieldInfo | None) -> tuple[type[BaseModel], ...]:
    return tuple(nested_models(info)) if info is not None and not is_personal(info) else ()


def _known(value: object) -> object:
    if isinstance(value, str):
        shown = value[:MAX_TEXT_LENGTH]
        return _name(shown) if _has_many_digits(shown) and not _is_instant(shown) else _printable(shown)
    return _unknown(value)


def _unknown(value: object) -> object:
    if isinstance(value, str):
        return shape(value)
    if value is None or isinstance(value, bool):
        return value
    is_small = isinstance(value, int | float) and isfinite(value) and abs(value) < MAX_NUMBER
    return value if is_small and isinstance(value, int) else "[number]"


def _name(text: str) -> str:
    """Returns a name that a sender has chosen: its digits are masked if there are as many as a telephone number has."""
    shown = _printable(text[:MAX_NAME_LENGTH])
    return "".join("9" if one.isdigit() else one for one in shown) if _has_many_digits(text) else shown


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


def _has_many_digits(text: str) -> bool:
    return sum(1 for _ in _digits(text)) > _MAX_DIGITS


def _digits(text: str) -> Iterator[str]:
    return (one for one in text if one.isdigit())


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return "-" in text and ":" in text
