"""API-key check: without a valid key, every path under the REST API answers 401, unknown paths too."""

from collections.abc import Sequence

import structlog
from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.application.keys import ANONYMOUS, Key, find_key
from edge.application.rate_limit import TokenBuckets
from edge.application.wrong_keys import WrongKeys
from edge.entrypoints.problems import problem
from edge.metrics import REFUSED

SECURITY_SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="an API key")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]
"""Documents `RequireKey` in OpenAPI. The middleware itself runs before routing and before any body is read."""

logger = structlog.get_logger()


class RequireKey:
    """ASGI middleware for requests under `prefixes`: 401 without one of `keys`, 429 above the key's rate limit.

    An address that sends many wrong keys gets 429 for further ones; valid keys are accepted from every address. Sets
    ``request.state.key``. Without any keys, every request is admitted as `ANONYMOUS`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Sequence[Key],
        buckets: TokenBuckets,
        wrong_keys: WrongKeys,
        prefixes: tuple[str, ...],
    ) -> None:
        self._app = app
        self._keys = tuple(keys)
        self._buckets = buckets
        self._wrong_keys = wrong_keys
        self._prefixes = prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on requests outside the prefixes, and those with a valid key within its rate limit."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefixes):
            await self._app(scope, receive, send)
            return
        key = self._authenticate(Headers(scope=scope), (scope.get("client") or ("",))[0])
        refusal = self._limit(key) if isinstance(key, Key) else key
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)

    def _authenticate(self, headers: Headers, host: str) -> Key | Response:
        if not self._keys:
            return ANONYMOUS
        secret = _secret(headers)
        if secret is not None and (key := find_key(self._keys, secret)):
            return key
        if secret is not None and (seconds := self._wrong_keys.add(host)):
            REFUSED.labels(reason="wrong_key_slowed").inc()
            detail = f"too many wrong keys from this address; retry in {seconds} s"
            return problem(429, detail, kind="too-many-wrong-keys", headers={"Retry-After": str(seconds)})
        REFUSED.labels(reason="no_key" if secret is None else "wrong_key").inc()
        error = ', error="invalid_token"' if secret is not None else ""
        challenge = {"WWW-Authenticate": f'Bearer realm="centralita"{error}'}
        return problem(401, "send Authorization: Bearer <API key>, or X-API-Key", headers=challenge)

    def _limit(self, key: Key) -> Response | None:
        seconds = self._buckets.take(key.digest)
        if seconds is None:
            return None
        REFUSED.labels(reason="too_many").inc()
        logger.warning("rest_rate_limited", key=key.name)
        detail = f"too many requests with this key; retry in {seconds} s"
        return problem(429, detail, kind="too-many-requests", headers={"Retry-After": str(seconds)})


def _secret(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
