"""Which schema changes are breaking and which are harmless, on constructed examples."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from contracts.compatibility import breaking_changes
from contracts.documents import schema_of
from contracts.events import EVENTS

Schema = dict[str, Any]
Change = Callable[[Schema], object]

BEFORE: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None},
        "status": {"$ref": "#/$defs/Status"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "notes": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name", "status"],
    "$defs": {
        "Status": {"enum": ["open", "closed"], "type": "string"},
        "Part": {"type": "object", "properties": {"id": {"type": "string"}, "part": {"$ref": "#/$defs/Part"}}},
    },
}


def changed(change: Change) -> Schema:
    after = copy.deepcopy(BEFORE)
    change(after)
    return after


def put(*path: str, to: object) -> Change:
    def change(schema: Schema) -> None:
        for step in path[:-1]:
            schema = schema[step]
        schema[path[-1]] = to

    return change


BREAKING: dict[str, tuple[Change, str]] = {
    "a default changes": (put("properties", "age", "default", to=0), "body.age: default was None, is 0"),
    "a default is removed": (
        lambda s: s["properties"]["age"].pop("default"),
        "body.age: default was None, is 'no default'",
    ),
    "a property is removed": (lambda s: s["properties"].pop("age"), "body.age: property removed"),
    "a property is renamed": (
        lambda s: s["properties"].update(full_name=s["properties"].pop("name")),
        "body.name: property removed",
    ),
    "a property becomes required": (lambda s: s["required"].append("age"), "body.age: newly required"),
    "a new property is required": (
        lambda s: (s["properties"].update(new={"type": "string"}), s["required"].append("new")),
        "body.new: newly required",
    ),
    "a type changes": (put("properties", "name", to={"type": "integer"}), "body.name: type was string, is integer"),
    "any value becomes a typed one": (
        put("properties", "notes", "additionalProperties", to={"type": "integer"}),
        "body.notes.*: type was string, is integer",
    ),
    "an enumeration narrows": (put("$defs", "Status", "enum", to=["open"]), "body.status: value 'closed' is no longer"),
    "a text becomes an enumeration": (
        put("properties", "name", to={"type": "string", "maxLength": 20, "enum": ["Ana"]}),
        "body.name: only certain values are accepted now",
    ),
    "null is no longer accepted": (
        put("properties", "age", to={"type": "integer", "minimum": 0, "default": None}),
        "body.age: no longer accepts null",
    ),
    "a minimum within an alternative increases": (
        put("properties", "age", "anyOf", to=[{"type": "integer", "minimum": 18}, {"type": "null"}]),
        "body.age: minimum was 0, is 18",
    ),
    "a maximum length decreases": (put("properties", "name", "maxLength", to=10), "body.name: maxLength was 20, is 10"),
    "a minimum length is added": (put("properties", "name", "minLength", to=1), "body.name: minLength was open, is 1"),
    "a pattern is added": (put("properties", "name", "pattern", to="^A"), "body.name: pattern was 'open', is '^A'"),
    "an unknown keyword is added": (put("properties", "name", "x-must", to=1), "body.name: x-must"),
    "unknown properties are refused": (put("additionalProperties", to=False), "body: properties that it does not name"),
    "an item's property is removed": (
        put("$defs", "Part", "properties", to={"part": {"$ref": "#/$defs/Part"}}),
        "body.parts[].id: property removed",
    ),
    "an item's type changes": (
        put("$defs", "Part", "properties", "id", to={"type": "integer"}),
        "body.parts[].id: type was string, is integer",
    ),
}

HARMLESS: dict[str, Change] = {
    "nothing changes": lambda s: None,
    "an optional property is added": put("properties", "new", to={"type": "string"}),
    "a required property becomes optional": lambda s: s["required"].remove("name"),
    "an enumeration widens": put("$defs", "Status", "enum", to=["open", "closed", "ajar"]),
    "a whole number becomes any number": put(
        "properties", "age", "anyOf", to=[{"type": "number", "minimum": 0}, {"type": "null"}]
    ),
    "null becomes valid": put(
        "properties", "name", to={"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]}
    ),
    "a maximum length is removed": lambda s: s["properties"]["name"].pop("maxLength"),
    "a description changes": put("properties", "name", "description", to="what they are called"),
    "a definition is renamed": lambda s: (
        s["$defs"].update(State=s["$defs"].pop("Status")),
        s["properties"].update(status={"$ref": "#/$defs/State"}),
    ),
    "a definition is inlined": put("properties", "status", to={"type": "string", "enum": ["closed", "open"]}),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_is_breaking(name: str) -> None:
    change, expected = BREAKING[name]
    found = breaking_changes(BEFORE, changed(change))
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_change_is_harmless(name: str) -> None:
    assert breaking_changes(BEFORE, changed(HARMLESS[name])) == []


@pytest.mark.parametrize("fact", EVENTS)
def test_removing_any_property_of_an_event_is_breaking(fact: str) -> None:
    schema = schema_of(EVENTS[fact])
    assert breaking_changes(schema, schema) == []
    for name in schema["properties"]:
        without = copy.deepcopy(schema)
        del without["properties"][name]
        assert f"body.{name}: property removed" in breaking_changes(schema, without)


@pytest.mark.parametrize(("size", "is_breaking"), [(1, False), (2, True)])
def test_a_default_may_have_a_new_member_only_with_the_default_of_this_member(size: int, is_breaking: bool) -> None:
    before, after = copy.deepcopy(BEFORE), copy.deepcopy(BEFORE)
    for schema in (before, after):
        schema["properties"]["part"] = {"$ref": "#/$defs/Part", "default": {"id": "a"}}
    after["$defs"]["Part"]["properties"]["size"] = {"type": "integer", "default": 1}
    after["properties"]["part"]["default"] = {"id": "a", "size": size}
    assert bool(breaking_changes(before, after)) is is_breaking
