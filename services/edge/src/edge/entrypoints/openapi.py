"""The OpenAPI document: problem documents as they are, in place of FastAPI's own description of errors."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from edge.entrypoints.problems import MEDIA_TYPE, Problem

DESCRIPTION = """
Outbound phone calls, held by an AI. Ask for a call with `POST /api/v1/calls`; what becomes of it is in its log.

A key has scopes: `read` to look, `call` to ask for calls and act on them and on campaigns, `admin` to see who did what.
Each key may make so many requests a second; above that the answer is 429 with `Retry-After`.

Errors are problem documents (RFC 9457). A request that got 201 or 202 is stored and reaches exactly one final status.
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What FastAPI takes as ``responses`` for these errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Gives `app` a document that holds the schema of problems."""

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
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
