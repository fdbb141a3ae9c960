"""API keys: without a good one, nothing under the REST API is answered, not even that a route is unknown."""

from collections.abc import Sequence

import structlog
from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.application.keys import NOBODY, Key, found
from edge.application.rate_limit import Buckets
from edge.entrypoints.problems import problem

DOCUMENTED = [
    Security(HTTPBearer(auto_error=False, description="an API key")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]
"""Says in the OpenAPI document what `RequireKey` does before any route is looked for or any body is read."""

REFUSED = Counter("centralita_rest_refused_total", "REST requests refused for their key", ["reason"])
for _reason in ("no_key", "wrong_key", "missing_scope", "too_many"):
    REFUSED.labels(reason=_reason)

logger = structlog.get_logger()


class RequireKey:
    """ASGI middleware for requests under `prefix`: 401 without one of `keys`, 429 above its pace.

    What it passes on has its key in ``request.state.key``. Without any keys it lets everybody in, as one and the same.
    """

    def __init__(self, app: ASGIApp, *, keys: Sequence[Key], buckets: Buckets, prefix: str) -> None:
        self._app = app
        self._keys = tuple(keys)
        self._buckets = buckets
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is not HTTP, not under the prefix, or has a key whose pace allows it."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        key = self._key(Headers(scope=scope))
        refusal = self._too_many(key) if isinstance(key, Key) else key
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)

    def _key(self, headers: Headers) -> Key | Response:
        if not self._keys:
            return NOBODY
        given = _given(headers)
        if given is not None and (key := found(self._keys, given)):
            return key
        REFUSED.labels(reason="no_key" if given is None else "wrong_key").inc()
        wrong = ', error="invalid_token"' if given is not None else ""
        challenge = {"WWW-Authenticate": f'Bearer realm="centralita"{wrong}'}
        return problem(401, "send Authorization: Bearer <API key>, or X-API-Key", headers=challenge)

    def _too_many(self, key: Key) -> Response | None:
        seconds = self._buckets.take(key.digest)
        if seconds is None:
            return None
        REFUSED.labels(reason="too_many").inc()
        logger.warning("rest_too_many_requests", key=key.name)
        detail = f"too many requests with this key; ask again in {seconds} s"
        return problem(429, detail, kind="too-many-requests", headers={"Retry-After": str(seconds)})


def _given(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
