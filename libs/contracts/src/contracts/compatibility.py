"""Compares two JSON schemas of an event and finds breaking changes.

The rule: a message that was valid must stay valid, because the log keeps old messages and upstream systems go on
sending them. A property that a reader may use must not disappear. A default must stay, because a message does not
contain a value that is the default. Additions and relaxations are allowed. A breaking change needs a new version.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_COMPARED = frozenset(
    {"$ref", "anyOf", "oneOf", "type", "enum", "const", "properties", "required", "additionalProperties", "items"}
)
_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description", "default", "examples", "deprecated"})
_UNORDERED = _COMPARED | _ANNOTATIONS | {*_CEILINGS, *_FLOORS}
"""Every other keyword (``pattern``, ``format``, unknown ones) must stay unchanged."""
_NONE = "no default"


def breaking_changes(old_schema: Schema, new_schema: Schema) -> list[str]:
    """Returns one line per breaking change from `old_schema` to `new_schema`.

    An unknown keyword counts as a restriction: if it is new or changed, the change is breaking.
    """
    return list(_Comparison(old_schema, new_schema).of(old_schema, new_schema, "body", frozenset()))


class _Comparison:
    """A comparison of two documents, in each of which ``$ref`` is followed."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new

    def of(self, old: Schema, new: Schema, where: str, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
        """Yields the breaking changes at one path; `seen`: the pairs of references that are already being compared."""
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if pair in seen:
                return
            seen |= {pair}
        before, after = _alternatives(old, self._old), _alternatives(new, self._new)
        if len(before) == len(after) == 1:
            yield from self._one(before[0], after[0], where, seen)
            return
        for was in before:
            yield from self._among(was, after, where, seen)

    def _among(self, was: Schema, after: list[Schema], where: str, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
        found = [list(self._one(was, now, where, seen)) for now in after]
        if [] in found:
            return
        alike = [changes for now, changes in zip(after, found, strict=True) if now.get("type") == was.get("type")]
        yield from alike[0] if len(alike) == 1 else [f"{where}: no longer accepts {_type(was)} as it was"]

    def _one(self, old: Schema, new: Schema, where: str, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
        was, now = old.get("type"), new.get("type")
        if now not in (None, was) and (was, now) != ("integer", "number"):
            yield f"{where}: type was {_type(old)}, is {_type(new)}"
            return
        yield from _values(old, new, where)
        yield from _limits(old, new, where)
        yield from self._properties(old, new, where, seen)
        if "items" in new:
            yield from self.of(old.get("items", {}), new["items"], f"{where}[]", seen)

    def _properties(self, old: Schema, new: Schema, where: str, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{where}.{name}: property removed"
            else:
                yield from self._default(before[name], after[name], f"{where}.{name}")
                yield from self.of(before[name], after[name], f"{where}.{name}", seen)
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                yield f"{where}.{name}: newly required"
        others, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if now is False and others is not False:
            yield f"{where}: properties that it does not name are now refused"
        elif isinstance(now, Mapping) and others is not False:
            yield from self.of(others if isinstance(others, Mapping) else {}, now, f"{where}.*", seen)

    def _default(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        """Compares defaults. A member that is new in an object, with its own default there, changes nothing."""
        if "default" not in old:
            return
        was, now = old["default"], new.get("default", _NONE)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            properties = [schema.get("properties", {}) for schema in _alternatives(new, self._new)]
            added = {name: [one[name].get("default", _NONE) for one in properties if name in one] for name in now}
            now = {name: value for name, value in now.items() if name in was or [value] != added[name]}
        if now != was:
            yield f"{where}: default was {was!r}, is {now!r}"


def _alternatives(schema: Schema, document: Schema) -> list[Schema]:
    """Returns the plain schemas of which one must match: without references, ``anyOf`` and lists of types."""
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _alternatives({**target, **rest}, document)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return [plain for one in schema[choice] for plain in _alternatives(one, document)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": one} for one in schema["type"]]
    return [schema]


def _values(old: Schema, new: Schema, where: str) -> Iterator[str]:
    if "enum" not in new and "const" not in new:
        return
    allowed = [*new.get("enum", ()), *([new["const"]] if "const" in new else ())]
    if "enum" not in old and "const" not in old:
        yield f"{where}: only certain values are accepted now"
        return
    was = [*old.get("enum", ()), *([old["const"]] if "const" in old else ())]
    for value in was:
        if value not in allowed:
            yield f"{where}: value {value!r} is no longer accepted"


def _limits(old: Schema, new: Schema, where: str) -> Iterator[str]:
    for keyword in _CEILINGS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{where}: {keyword} was {old.get(keyword, 'open')}, is {new[keyword]}"
    for keyword in _FLOORS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{where}: {keyword} was {old.get(keyword, 'open')}, is {new[keyword]}"
    for keyword in sorted(new.keys() - _UNORDERED):
        if old.get(keyword) != new[keyword]:
            yield f"{where}: {keyword} was {old.get(keyword, 'open')!r}, is {new[keyword]!r}"


def _type(schema: Schema) -> str:
    return str(schema.get("type", "anything"))
