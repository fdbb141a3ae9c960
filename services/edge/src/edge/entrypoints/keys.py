"""API keys: without a good one, nothing under the REST API is answered, not even that a route is unknown."""

import hmac
from collections.abc import Sequence

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.entrypoints.problems import problem

DOCUMENTED = [
    Security(HTTPBearer(auto_error=False, description="an API key")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]
"""Says in the OpenAPI document what `RequireKey` does before any route is looked for or any body is read."""


class RequireKey:
    """ASGI middleware: 401 for a request under `prefix` that has none of `keys`."""

    def __init__(self, app: ASGIApp, *, keys: Sequence[str], prefix: str) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is not HTTP, not under the prefix, or has a key."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        given = _given(Headers(scope=scope))
        if given is not None and self._is_good(given):
            await self._app(scope, receive, send)
            return
        wrong = ', error="invalid_token"' if given is not None else ""
        challenge = {"WWW-Authenticate": f'Bearer realm="centralita"{wrong}'}
        answer = problem(401, "send Authorization: Bearer <API key>, or X-API-Key", headers=challenge)
        await answer(scope, receive, send)

    def _is_good(self, given: str) -> bool:
        """Compares with every key, each in constant time, so that time tells nothing of any."""
        matches = [hmac.compare_digest(key, given.encode()) for key in self._keys]
        return any(matches)


def _given(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
