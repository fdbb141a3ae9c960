"""Requests to the REST API with the API key of the person who is logged in.

So scopes, limits to campaigns, rate limits and the audit log of the REST API apply to every page (ADR 13).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

TIMEOUT_SECONDS = 15.0
FILE_SECONDS = 300.0
"""How long the answer to a file is waited for once it is sent; as the command line does."""
_FILE_TIMEOUT = httpx.Timeout(30.0, read=FILE_SECONDS)
PREFIX = "/api/v1"
MISSING_SCOPE = "missing-scope"
RATE_LIMITED = "too-many-requests"
"""The problem of a request that was refused before it was read, so it may be sent again."""
MAX_WAITS = 3
MAX_WAIT_SECONDS = 2.0

T = TypeVar("T")


class RestFailure(Exception):
    """The REST API refused a request. `kind` is the last part of the problem's type, empty without one."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        retry_after: str | None = None,
        *,
        explanation: str = "",
        errors: Mapping[str, str] | None = None,
    ) -> None:
        """`detail` names the wrong fields, if there are any. `explanation` is the detail of the problem document."""
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        self.explanation = explanation
        self.errors = errors or {}


class Unreachable(Exception):
    """The REST API did not answer. `url` is its address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RestClient:
    """The REST API as one API key sees it. Every method raises RestFailure and Unreachable.

    `files` are the connections for files: a new one for each.
    """

    http: httpx.AsyncClient
    api_key: str
    files: httpx.AsyncClient | None = None

    async def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> Any:
        """Returns the JSON of a resource. Empty parameters are left out."""
        given = {name: value for name, value in (parameters or {}).items() if value != ""}
        return await self._answer("GET", PREFIX + path, params=given)

    async def get_document(self) -> Any:
        """Returns the OpenAPI document of the REST API."""
        return await self._answer("GET", "/openapi.json")

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Sends an act, and returns the JSON of its answer."""
        return await self._answer("POST", PREFIX + path, json=dict(body))

    async def put(self, path: str, body: Mapping[str, Any], parameters: Mapping[str, str | int]) -> Any:
        """Replaces a resource, and returns the JSON of the answer."""
        return await self._answer("PUT", PREFIX + path, json=dict(body), params=parameters)

    async def send_file(
        self,
        path: str,
        media_type: str,
        parts: AsyncIterator[bytes],
        parameters: Mapping[str, Any],
        *,
        is_csv: bool,
    ) -> httpx.Response:
        """Sends a file as it arrives, and returns the answer, whose body has not been read; the caller closes it.

        `is_csv`: the answer is CSV instead of JSON. An exception of `parts` ends the request, and is raised.
        """
        headers = {"X-API-Key": self.api_key, "Accept": "text/csv" if is_csv else "application/json"}
        headers["Content-Type"] = media_type
        http, body = self.files or self.http, _UnansweredBody(parts)
        request = http.build_request(
            "POST",
            PREFIX + path,
            params=parameters,
            headers=headers,
            content=body.parts(),
            timeout=_FILE_TIMEOUT,
            extensions={"trace": body.trace},
        )
        try:
            response = await http.send(request, stream=True)
            if not response.is_success:
                await response.aread()
        except httpx.HTTPError as error:
            raise Unreachable(str(http.base_url), type(error).__name__) from None
        if not response.is_success:
            raise failure_of(response)
        if body.is_cut:
            await response.aclose()
            raise Unreachable(str(http.base_url), "it answered before the end of the file")
        return response

    async def _answer(self, method: str, path: str, **options: Any) -> Any:
        headers = {"X-API-Key": self.api_key, "Accept": "application/json"}
        try:
            response = await self.http.request(method, path, headers=headers, **options)
        except httpx.HTTPError as error:
            raise Unreachable(str(self.http.base_url), type(error).__name__) from None
        if response.is_success:
            return _json(response)
        raise failure_of(response)


async def within_limit(send: Callable[[], Awaitable[T]]) -> T:
    """Returns an answer. Sends a request again that exceeded the rate limit of the key, at most `MAX_WAITS` times."""
    for _ in range(MAX_WAITS):
        try:
            return await send()
        except RestFailure as failure:
            if failure.kind != RATE_LIMITED:
                raise
            await asyncio.sleep(min(MAX_WAIT_SECONDS, float(failure.retry_after or 1)))
    return await send()


class _UnansweredBody:
    """The body of a request, which ends as soon as the server has answered.

    A server that refuses a file does not read the rest, and closes the connection. httpx reads no answer before it has
    sent the whole body, and would find only that the connection is closed.
    """

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._connection: Any = None
        self.is_cut = False

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Receives what httpcore does for the request. Over TLS, received bytes need not be an answer."""
        if name == "connection.connect_tcp.complete":
            self._connection = info["return_value"]
        elif name.startswith("connection.start_tls"):
            self._connection = None

    async def parts(self) -> AsyncIterator[bytes]:
        """Yields the parts until there is an answer."""
        async for part in self._parts:
            if self._connection and self._connection.get_extra_info("is_readable"):
                self.is_cut = True
                return
            yield part


def failure_of(response: httpx.Response) -> RestFailure:
    """Returns the error of an answer without success, whose body has been read."""
    document = _json(response)
    problem = document if isinstance(document, dict) else {}
    errors = {str(error.get("field")): str(error.get("message")) for error in problem.get("errors") or ()}
    explanation = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    detail = "; ".join(f"{field}: {message}" for field, message in errors.items()) or explanation
    kind = str(problem.get("type", "")).rpartition(":")[2]
    return RestFailure(
        response.status_code,
        kind,
        detail,
        response.headers.get("Retry-After"),
        explanation=explanation,
        errors=errors,
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
