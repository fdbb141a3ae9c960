"""JSON schemas as tables: the fields of an object with type, limits, default and meaning, as Markdown."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymdownx.slugs import slugify  # type: ignore[import-untyped]

Schema = Mapping[str, Any]
Links = Callable[[str], str]
"""The address of the description of a schema, by its name."""

_slug = slugify(case="lower")
_CODE_OR_SIGN = re.compile(r"(?P<code>(`+).+?\2)|[<|*]")
_RANGES = (
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " entries"),
    ("minimum", "maximum", ""),
)


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table of an object."""

    name: str
    type: str
    presence: str
    meaning: str


def anchor(heading: str) -> str:
    """Returns the anchor of a heading: the one that GitHub gives it."""
    return str(_slug(heading, "-"))


def prose(text: str) -> str:
    """Returns text for a paragraph or a cell: one line, in which only code spans are Markdown."""
    line = " ".join(text.split())
    return _CODE_OR_SIGN.sub(lambda match: match["code"] or ("&lt;" if match[0] == "<" else f"\\{match[0]}"), line)


def fields_of(schema: Schema, link: Links) -> list[Field]:
    """Returns the fields of an object, those that are required first."""
    required = set(schema.get("required", ()))
    fields = [
        Field(
            name,
            type_of(part, link),
            "required" if name in required else _default(part),
            prose(part.get("description", "")),
        )
        for name, part in schema.get("properties", {}).items()
    ]
    return sorted(fields, key=lambda field: field.presence != "required")


def type_of(schema: Schema, link: Links) -> str:
    """Returns the type of a value with its limits; the type of a named schema is a link."""
    if name := schema.get("$ref"):
        name = name.rpartition("/")[2]
        return f"[{_words(name)}]({link(name)})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(type_of(part, link) for part in schema[key])
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    return _base(schema, link) + "".join(f", {limit}" for limit in _limits(schema))


def title_of(name: str) -> str:
    """Returns the heading of a named schema; two of one name have their module before it."""
    return ".".join(name.split("__")[-2:])


def _words(name: str) -> str:
    return title_of(name).replace("_", r"\_")


def _base(schema: Schema, link: Links) -> str:
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}), link)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {type_of(schema['additionalProperties'], link)}"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _limits(schema: Schema) -> list[str]:
    found = []
    for low, high, unit in _RANGES:
        minimum, maximum = schema.get(low), schema.get(high)
        if minimum is not None and maximum is not None:
            found.append(f"{minimum} to {maximum}{unit}" if minimum != maximum else f"{minimum}{unit}")
        elif minimum is not None:
            found.append(f"at least {minimum}{unit}")
        elif maximum is not None:
            found.append(f"at most {maximum}{unit}")
    if pattern := schema.get("pattern"):
        found.append(f"matches `{pattern}`")
    return found


def _default(schema: Schema) -> str:
    return f"default {_code(schema['default'])}" if "default" in schema else "optional"


def _code(value: object) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)}`"
