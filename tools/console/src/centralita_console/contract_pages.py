"""The contracts for people: the events of the AsyncAPI document, and the operations of an OpenAPI document."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from contracts.documents import asyncapi
from contracts.queries import CALL_REQUEST

Document = Mapping[str, Any]
_REQUEST = "call.requested"


@dataclass(frozen=True, slots=True)
class EventContract:
    """One event as the pages show it."""

    name: str
    type: str
    subject: str
    stream: str
    owners: tuple[str, ...]
    consumers: tuple[str, ...]
    meaning: str
    schema: Document
    examples: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the REST API. `document` is its part of the OpenAPI document."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    document: Document


@cache
def event_contracts() -> Mapping[str, EventContract]:
    """Returns every event by its name, from the AsyncAPI document of this version."""
    document = asyncapi()
    events = [_event(document, name, channel) for name, channel in document["channels"].items() if _is_event(channel)]
    return {event.name: event for event in sorted(events, key=lambda one: one.name)}


def _is_event(channel: Document) -> bool:
    return "x-stream" in channel


def _event(document: Document, name: str, channel: Document) -> EventContract:
    type_name = next(iter(channel["messages"]))
    message = document["components"]["messages"][type_name]
    schemas = document["components"]["schemas"]
    suffix = f".consumes.{name}"
    return EventContract(
        name=name,
        type=type_name,
        subject=channel["address"],
        stream=channel["x-stream"],
        owners=tuple(channel["x-owners"]),
        consumers=tuple(one.removesuffix(suffix) for one in document["operations"] if one.endswith(suffix)),
        meaning=channel["description"],
        schema=_with_references(schemas[_name_of(message["payload"])], schemas),
        examples=tuple(example["payload"] for example in message.get("examples", ())),
    )


def operations_of(document: Document) -> list[Operation]:
    """Returns the operations of an OpenAPI document, in its order. Ids are unique in it."""
    return [
        Operation(
            id=str(operation["operationId"]),
            method=method.upper(),
            path=path,
            tag=str((operation.get("tags") or ("",))[0]),
            summary=str(operation.get("description", "")).partition("\n")[0],
            document=operation,
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def whole_operation(document: Document, name: str) -> Operation | None:
    """Returns an operation by its id, with the schemas that it needs."""
    found = [one for one in operations_of(document) if one.id == name]
    schemas = document["components"]["schemas"]
    return replace(found[0], document=_with_references(found[0].document, schemas)) if found else None


def _with_references(part: Document, schemas: Mapping[str, Any]) -> Document:
    """Returns a part of a document with the schemas to which it refers, directly or through others."""
    found: dict[str, Any] = {}
    waiting = list(_references(part))
    while waiting:
        name = waiting.pop()
        if name not in found and name in schemas:
            found[name] = schemas[name]
            waiting += _references(schemas[name])
    return {**part, "$defs": {name: found[name] for name in sorted(found)}} if found else part


def _references(part: object) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(part.get("$ref"), str):
            yield _name_of(part)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _references(value)


def _name_of(reference: Document) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def type_of(field: Document) -> str:
    """Returns the type of a field for people, such as ``string (date-time) or null``."""
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(type_of(one) for one in options)
    if "$ref" in field:
        return _name_of(field)
    if values := field.get("enum"):
        return ", ".join(map(str, values))
    name = str(field.get("type", "any"))
    if name == "array":
        return f"array of {type_of(field.get('items', {}))}"
    return f"{name} ({field['format']})" if "format" in field else name


def example_requests(api_url: str) -> list[str]:
    """Returns the commands that request a call to a fictional number: over NATS, and over REST."""
    [body, *_] = event_contracts()[_REQUEST].examples
    text = json.dumps(body, ensure_ascii=False)
    curl = f'curl -X POST {shlex.quote(f"{api_url}/api/v1/calls")} -H "X-API-Key: $API_KEY"'
    return [
        f"nats request {CALL_REQUEST} {shlex.quote(text)}",
        f"{curl} -H 'Content-Type: application/json' -d {shlex.quote(text)}",
    ]
