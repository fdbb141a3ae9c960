"""Requests to the REST API with the API key of the person who is logged in.

So scopes, limits to campaigns, rate limits and the audit log of the REST API apply to every page (ADR 13).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_SECONDS = 15.0
PREFIX = "/api/v1"


class RestFailure(Exception):
    """The REST API refused a request. `kind` is the last part of the problem's type, empty without one."""

    def __init__(self, status: int, kind: str, detail: str, retry_after: str | None = None) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after


class Unreachable(Exception):
    """The REST API did not answer. `url` is its address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RestClient:
    """The REST API as one API key sees it. Every method raises RestFailure and Unreachable."""

    http: httpx.AsyncClient
    api_key: str

    async def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> Any:
        """Returns the JSON of a resource. Empty parameters are left out."""
        given = {name: value for name, value in (parameters or {}).items() if value != ""}
        return await self._answer("GET", path, params=given)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Sends an act, and returns the JSON of its answer."""
        return await self._answer("POST", path, json=dict(body))

    async def _answer(self, method: str, path: str, **options: Any) -> Any:
        headers = {"X-API-Key": self.api_key, "Accept": "application/json"}
        try:
            response = await self.http.request(method, PREFIX + path, headers=headers, **options)
        except httpx.HTTPError as error:
            raise Unreachable(str(self.http.base_url), type(error).__name__) from None
        if response.is_success:
            return _json(response)
        raise failure_of(response)


def failure_of(response: httpx.Response) -> RestFailure:
    """Returns the error of an answer without success, whose body has been read."""
    document = _json(response)
    problem = document if isinstance(document, dict) else {}
    fields = [f"{error.get('field')}: {error.get('message')}" for error in problem.get("errors") or ()]
    detail = "; ".join(fields) or str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    kind = str(problem.get("type", "")).rpartition(":")[2]
    return RestFailure(response.status_code, kind, detail, response.headers.get("Retry-After"))


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
