"""The OpenAPI document, with problem documents in place of FastAPI's own description of errors."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from edge.entrypoints.problems import MEDIA_TYPE, Problem

PATH = "/openapi.json"
DESCRIPTION = """
AI agents that make outbound phone calls. `POST /api/v1/calls` creates a call; its events show what happens to it.

A key has scopes: `read` reads, `call` creates calls and acts on calls, campaigns and do-not-call lists, `admin` reads
the audit log, erases and exports persons, and lists, resends and drops dead letters.
Each key has a rate limit; above it the answer is 429 with `Retry-After`.

Errors are problem documents (RFC 9457). A request answered with 201 or 202 is stored and reaches one final status.
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns FastAPI's ``responses`` argument for these error statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Replaces the application's OpenAPI document by one that includes the schema of problems."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= {**described.pop("$defs"), "Problem": described}
            _describe_streams(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


_STREAMED_EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}


def _describe_streams(schema: dict[str, Any]) -> None:
    """Describes streams of events by the fields of an event. FastAPI uses `itemSchema`, which OpenAPI 3.1 lacks."""
    for operation in (one for methods in schema["paths"].values() for one in methods.values()):
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                if media.pop("itemSchema", None):
                    media["schema"] = _STREAMED_EVENT
