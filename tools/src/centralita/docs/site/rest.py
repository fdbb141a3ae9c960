"""Pages of the REST API: one per group of operations, from the OpenAPI document of edge."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from centralita.docs.site.schemas import Field, anchor, fields_of, title_of, type_of
from centralita.docs.site.templating import render
from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.entrypoints.http import Dependencies, create_app
from telephony.twilio import TwilioWebhooks

FOLDER = "rest"
_SCHEMAS = "schemas.md"
_WEBHOOKS = "Webhooks"
_NO_HOST = "https://calls.example.com"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation."""

    place: str
    field: Field


@dataclass(frozen=True, slots=True)
class Body:
    """One body that an operation takes."""

    media_type: str
    type: str


@dataclass(frozen=True, slots=True)
class Response:
    """One answer of an operation."""

    status: str
    meaning: str
    bodies: list[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    description: str
    parameters: list[Parameter]
    bodies: list[Body]
    responses: list[Response]

    @property
    def name(self) -> str:
        """Return the heading."""
        return f"{self.method} {self.path}"

    @property
    def summary(self) -> str:
        """Return the first paragraph of the description."""
        return self.description.partition("\n\n")[0]


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of one tag."""

    name: str
    operations: list[Operation]

    @property
    def page(self) -> str:
        """Return the name of the page."""
        return f"{anchor(self.name)}.md"


def openapi_document() -> dict[str, Any]:
    """Returns the document of an edge without a bus. Routes are declared only; no dependency is called."""
    parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Dependencies))
    parts["provider"] = TwilioWebhooks("", _NO_HOST, _NO_HOST)
    return create_app(Dependencies(**parts), keys=(), buckets=TokenBuckets(RequestLimit(1, 1))).openapi()


def rest_pages(document: Mapping[str, Any]) -> dict[str, str]:
    """Returns the Markdown of every page, by its path."""
    groups = _groups(document)
    common = _common_errors(groups)
    pages = {group.page: render("rest_group", group=group, common=common) for group in groups}
    schemas = sorted(document["components"]["schemas"].items(), key=lambda item: title_of(item[0]))
    introduction = "The bodies of requests and answers. Errors are a Problem."
    return {
        f"{FOLDER}/{path}": text
        for path, text in {
            "index.md": render("rest_index", description=document["info"]["description"], groups=groups, common=common),
            **pages,
            _SCHEMAS: render(
                "values", title="Types of the REST API", introduction=introduction, schemas=schemas, link=_link
            ),
        }.items()
    }


def _link(name: str) -> str:
    return f"{_SCHEMAS}#{anchor(title_of(name))}"


def _groups(document: Mapping[str, Any]) -> list[Group]:
    """Returns the operations by tag; the webhooks, which only the provider calls, last."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(method.upper(), path, operation))
    return sorted((Group(*group) for group in groups.items()), key=lambda group: group.name == _WEBHOOKS)


def _common_errors(groups: list[Group]) -> list[Response]:
    """Returns the answers that every operation of the REST API has, in the same words. They are shown once."""
    answers = [operation.responses for group in groups if group.name != _WEBHOOKS for operation in group.operations]
    return [response for response in answers[0] if all(response in responses for responses in answers)]


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Operation:
    return Operation(
        method=method,
        path=path,
        description=operation["description"],
        parameters=[_parameter(parameter) for parameter in operation.get("parameters", ())],
        bodies=[Body(*item) for item in _bodies(operation.get("requestBody", {})).items()],
        responses=[
            Response(status, response["description"], sorted(set(_bodies(response).values())))
            for status, response in sorted(operation["responses"].items())
        ],
    )


def _parameter(parameter: Mapping[str, Any]) -> Parameter:
    name = parameter["name"]
    schema = {**parameter["schema"], "description": parameter.get("description", "")}
    required = [name] if parameter.get("required") else []
    (field,) = fields_of({"properties": {name: schema}, "required": required}, _link)
    return Parameter(parameter["in"], field)


def _bodies(part: Mapping[str, Any]) -> dict[str, str]:
    """Returns the type of the body by media type."""
    return {media: type_of(content.get("schema", {}), _link) for media, content in part.get("content", {}).items()}
