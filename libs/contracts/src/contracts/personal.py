"""Personal data in events: which fields they are, and the sealed form of a body (law 13).

**Marking.** ``Annotated[str, PERSONAL]`` marks a field of an event, or of a model in it. Texts, mappings and lists can
be marked. A marked field of a call is sealed in every event that carries the call.

**The sealed form.** The marked fields are taken out of the body. They are one JSON object, which is packed
(`contracts.packing`) and sealed under the key of the person. The body is the JSON that remains, a zero byte, which JSON
never contains, and the sealed bytes. The header ``ce-person`` names the person: the digest of the telephone number. A
field that is marked as this digest (`PERSON`) is only there. A marked field that has a value other than its default
stays as an empty one, so that a reader without keys knows that it was given. Older builds stored the sealed bytes as a
member ``sealed`` in base64.

**Without the key**, a reader sees `HIDDEN` in place of each text. If the key is destroyed, it sees `ERASED`.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import from_json, to_json

HIDDEN = "[sealed]"
"""Stands for each personal text where a reader has no keys."""
ERASED = "[erased]"
"""Stands for each personal text whose key is destroyed."""
PLACEHOLDERS = frozenset({HIDDEN, ERASED})
SEALED = "sealed"
"""The member of a body that contains its personal fields, in base64, in logs of older builds."""
_END_OF_JSON = b"\0"
PERSON_HEADER = "ce-person"
"""The header of each message whose body is sealed: the person under whose key it is."""


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a field with personal data."""


@dataclass(frozen=True, slots=True)
class PersonDigest:
    """Marks a field with the digest of the person. In a sealed body, the header has it."""


PERSONAL = Personal()
PERSON = PersonDigest()

PersonalText = Annotated[str, PERSONAL]
PersonalTexts = Annotated[dict[str, str], PERSONAL]

Body = dict[str, Any]
Opened = Mapping[str, Any]
"""The personal fields of a body."""
Open = Callable[[bytes | None], "Opened | str"]
"""Returns the personal fields in sealed bytes, or else what stands for each text: `HIDDEN` or `ERASED`. None: the
message was appended after the key was destroyed. Raises ValueError if they cannot be opened."""


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens the personal fields of sealed bodies about one person. `person`: the digest of the header."""

    person: str
    open: Open


@dataclass(frozen=True, slots=True)
class _Field:
    """A personal field: the path to it, whether it is required, and its empty value."""

    path: tuple[str, ...]
    is_required: bool
    empty: Any


@dataclass(frozen=True, slots=True)
class _Fields:
    """The personal fields of a model, and the paths to the digests of the person."""

    personal: tuple[_Field, ...]
    digests: tuple[tuple[str, ...], ...]


def hidden(_: bytes | None) -> str:
    """Opens nothing: the reader has no keys."""
    return HIDDEN


def without_keys(headers: Mapping[str, str] | None) -> Opener | None:
    """Returns what a reader without keys passes to `contracts.decode`: the headers show if the body is sealed."""
    person = headers.get(PERSON_HEADER) if headers else None
    return Opener(person, hidden) if person else None


def has_personal_fields(model: type[BaseModel]) -> bool:
    """Returns whether a model has personal fields."""
    return bool(_fields(model).personal)


def is_personal(info: FieldInfo) -> bool:
    """Returns whether a field is marked as personal, or as the digest of the person."""
    return bool(_marks(info))


def nested_models(info: FieldInfo) -> Iterator[type[BaseModel]]:
    """Yields the models that describe the object in a field."""
    return _models(info.annotation)


def personal_names(model: type[BaseModel]) -> frozenset[str]:
    """Returns the names of the fields of a model that are personal, or that contain one that is."""
    return frozenset(field.path[0] for field in _fields(model).personal)


def clear_and_personal(body: bytes, model: type[BaseModel], person: str) -> tuple[bytes, bytes]:
    """Returns a body without its personal fields and the digest of the person, and these fields. Both are JSON."""
    clear: Body = from_json(body)
    personal: Body = {}
    fields = _fields(model)
    for field in fields.personal:
        owner, name = _owner(clear, field.path), field.path[-1]
        if owner is not None and name in owner:
            if (value := owner.pop(name)) is None:
                continue  # written out by older builds; it is the default
            _set(personal, field.path, value)
            if not field.is_required:
                owner[name] = field.empty
    for path in fields.digests:
        owner = _owner(clear, path)
        if owner is not None and owner.get(path[-1]) == person:
            del owner[path[-1]]
    return to_json(clear), to_json(personal)


def with_sealed(clear: bytes, sealed: bytes) -> bytes:
    """Returns the sealed form of a body."""
    return clear + _END_OF_JSON + sealed


def json_and_sealed(body: bytes) -> tuple[bytes, bytes | None]:
    """Returns the JSON of a body, and the sealed bytes that follow it, if any."""
    text, end, sealed = body.partition(_END_OF_JSON)
    return text, sealed if end else None


def has_clear_values(body: bytes, model: type[BaseModel]) -> bool:
    """Returns whether the JSON of a body has personal fields with a value. That of a sealed body has none.

    Raises ValueError if it is no JSON.
    """
    clear = from_json(json_and_sealed(body)[0])
    owners = [(_owner(clear, field.path), field.path[-1]) for field in _fields(model).personal]
    return any(owner is not None and owner.get(name) for owner, name in owners)


def opened(body: bytes, model: type[BaseModel], opener: Opener) -> Body:
    """Returns the fields of a body with the personal ones, or with a text that stands for them.

    Raises ValueError, TypeError or AttributeError if the body is no object, or its personal fields cannot be opened.
    """
    text, sealed = json_and_sealed(body)
    fields: Body = from_json(text)
    former = fields.pop(SEALED, None)
    personal = opener.open(sealed if former is None else base64.b64decode(former, validate=True))
    return _with_digest(_with_personal(fields, personal, model), opener.person, model)


def _with_personal(body: Body, personal: Opened | str, model: type[BaseModel]) -> Body:
    if not isinstance(personal, str):
        return _merged(body, personal)
    for field in _fields(model).personal:
        owner = _owner(body, field.path)
        if owner is not None and (field.is_required or field.path[-1] in owner):
            owner[field.path[-1]] = personal if isinstance(field.empty, str) else field.empty
    return body


def _with_digest(body: Body, person: str, model: type[BaseModel]) -> Body:
    for path in _fields(model).digests:
        owner = _owner(body, path)
        if owner is not None:
            owner.setdefault(path[-1], person)
    return body


def _merged(body: Body, personal: Opened) -> Body:
    for name, value in personal.items():
        known = body.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _merged(known, value)
        else:
            body[name] = value
    return body


def _owner(body: Any, path: tuple[str, ...]) -> Body | None:
    """Returns the object that has the field; None if the body does not have it."""
    for name in path[:-1]:
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body if isinstance(body, dict) else None


def _set(body: Body, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value


@lru_cache(maxsize=256)
def _fields(model: type[BaseModel]) -> _Fields:
    marked = list(_marked_fields(model, ()))
    digests = [path for path, info in marked if PERSON in _marks(info)]
    personal = [
        _Field(path, info.is_required(), _empty(info.annotation)) for path, info in marked if PERSONAL in _marks(info)
    ]
    return _Fields(tuple(personal), tuple(digests))


def _marked_fields(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, info in model.model_fields.items():
        if _marks(info):
            yield (*path, name), info
        else:
            for nested in _models(info.annotation):
                yield from _marked_fields(nested, (*path, name))


def _marks(info: FieldInfo) -> tuple[Personal | PersonDigest, ...]:
    found = (*info.metadata, *_metadata(info.annotation))
    return tuple(one for one in found if isinstance(one, Personal | PersonDigest))


def _metadata(annotation: Any) -> tuple[Any, ...]:
    """Returns the metadata of an annotation, or of the members of a union, such as ``PersonalText | None``."""
    if get_origin(annotation) is Annotated:
        return tuple(annotation.__metadata__)
    if get_origin(annotation) in (Union, UnionType):
        return tuple(found for member in get_args(annotation) for found in _metadata(member))
    return ()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for member in get_args(annotation):
            yield from _models(member)


def _empty(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _empty(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _empty(next(member for member in get_args(annotation) if member is not type(None)))
    kind = get_origin(annotation) or annotation
    if issubclass(kind, str):
        return ""
    if issubclass(kind, dict):
        return {}
    if issubclass(kind, tuple | list):
        return []
    raise TypeError(f"{annotation}: only texts, mappings and lists can be personal data")
