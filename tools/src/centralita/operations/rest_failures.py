"""Answers of the REST API without success, each as one sentence with its remedy."""

from typing import Any

import httpx


class RequestFailed(RuntimeError):
    """A request to the REST API failed.

    `status` is the HTTP status, None if the server did not answer. `fields`: those that the answer names.
    """

    def __init__(self, message: str, status: int | None = None, fields: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields


def document_of(response: httpx.Response) -> Any:
    """Returns the JSON of an answer, None if it is not JSON."""
    try:
        return response.json()
    except ValueError:
        return None


def failure(url: httpx.URL, response: httpx.Response) -> RequestFailed:
    """Returns the error that explains an answer without success."""
    document = document_of(response)
    problem = document if isinstance(document, dict) else {}
    fields = frozenset(str(error.get("field")) for error in _errors(problem))
    return RequestFailed(_sentence(url, response, problem), response.status_code, fields)


def _sentence(url: httpx.URL, response: httpx.Response, document: dict[str, Any]) -> str:
    detail = str(document.get("detail") or document.get("title") or "")
    if response.is_redirect:
        return f"The REST API at {url} redirects to {response.headers.get('Location')}. Give that address as --api-url."
    if not document:
        return f"{url} does not answer like the REST API (HTTP {response.status_code}). Check --api-url."
    match response.status_code:
        case 401:
            return f"The REST API at {url} refuses the API key. Give a valid one with --api-key or API_KEY."
        case 403:
            return f"The API key does not permit this: {detail}."
        case 404:
            return f"Not found: {detail}."
        case 409:
            return f"Refused: {detail}."
        case 422:
            return f"The request is not valid: {_field_errors(document) or detail}."
        case 429:
            return f"Too many requests with this API key: {detail}. {_retry_hint(response)}"
        case 503:
            return f"The REST API is not available: {detail}. {_retry_hint(response)}"
        case status:
            return f"The REST API at {url} failed with HTTP {status}: {detail}."


def _field_errors(document: dict[str, Any]) -> str:
    return "; ".join(f"{error.get('field')}: {error.get('message')}" for error in _errors(document))


def _errors(document: dict[str, Any]) -> list[dict[str, Any]]:
    errors = document.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _retry_hint(response: httpx.Response) -> str:
    seconds = response.headers.get("Retry-After")
    return f"Try again in {seconds} s." if seconds else "Try again later."
