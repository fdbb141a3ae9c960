"""Requests to the REST API with an API key. Every problem document becomes one sentence.

The API key is a secret. It is sent in a header, only to the given URL; errors and log lines do not contain it.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx

from centralita.embedded.run_files import create_private_file
from centralita.operations.rest_failures import RequestFailed, document_of, failure

TIMEOUT_SECONDS = 30.0
IMPORT_SECONDS = 300.0
"""How long the answer to an import is waited for once its file, or a part of it, is sent."""
_IMPORT_TIMEOUT = httpx.Timeout(TIMEOUT_SECONDS, read=IMPORT_SECONDS)
_PART_BYTES = 65_536
_NUMBERS = "/api/v1/do-not-call"


@dataclass(frozen=True, slots=True)
class ContactFile:
    """A file of contacts. `on_progress` is called with the bytes that were sent, and with all of them."""

    path: Path
    media_type: str
    on_progress: Callable[[int, int], None]

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.path.stat().st_size

    async def parts(self) -> AsyncIterator[bytes]:
        """Yields the content in parts."""
        sent, size = 0, self.size
        with self.path.open("rb") as file:
            while part := file.read(_PART_BYTES):
                yield part
                sent += len(part)
                self.on_progress(sent, size)


class RestApi:
    """A client of the REST API. All methods raise RequestFailed."""

    def __init__(self, url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = _validated_url(url)
        if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
            reason = "The API key contains a space or a character that is not printable ASCII"
            raise RequestFailed(f"{reason}. Check --api-key or API_KEY.", 401)
        headers = {"X-API-Key": api_key, "Accept": "application/json"}
        self._http = httpx.AsyncClient(
            base_url=self._url, headers=headers, timeout=TIMEOUT_SECONDS, transport=transport
        )

    async def campaign(self, campaign_id: str) -> dict[str, Any]:
        """Returns the campaign and the counters of its calls."""
        return await self._request("GET", _path(campaign_id))

    async def create(self, campaign: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a campaign with this id and these terms, and returns its state."""
        return await self._request("POST", "/api/v1/campaigns", dict(campaign))

    async def change(self, campaign_id: str, terms: Mapping[str, Any], version: int | None = None) -> dict[str, Any]:
        """Replaces the terms of the campaign, if it still has the version; returns its state."""
        query = "" if version is None else f"?version={version}"
        return await self._request("PUT", f"{_path(campaign_id)}{query}", dict(terms))

    async def start(self, campaign_id: str) -> dict[str, Any]:
        """Starts the campaign and returns its state."""
        return await self._request("POST", f"{_path(campaign_id)}/start")

    async def finish(self, campaign_id: str) -> dict[str, Any]:
        """Finishes the campaign and returns its state."""
        return await self._request("POST", f"{_path(campaign_id)}/finish")

    async def pause(self, campaign_id: str, reason: str | None = None) -> dict[str, Any]:
        """Pauses the campaign and returns its state."""
        return await self._request("POST", f"{_path(campaign_id)}/pause", {"reason": reason} if reason else {})

    async def resume(self, campaign_id: str) -> dict[str, Any]:
        """Resumes the campaign and returns its state."""
        return await self._request("POST", f"{_path(campaign_id)}/resume")

    async def retry(
        self, campaign_id: str, statuses: Sequence[str], *, limit: int, cursor: str | None = None
    ) -> dict[str, Any]:
        """Retries one page of the campaign's calls and returns the counts, and the cursor of the next page."""
        body = {"statuses": list(statuses), "limit": limit, "cursor": cursor}
        return await self._request("POST", f"{_path(campaign_id)}/retry", body)

    async def request_call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Requests a call and returns its state."""
        return await self._request("POST", "/api/v1/calls", dict(call))

    async def call(self, call_id: UUID) -> dict[str, Any]:
        """Returns one call."""
        return await self._request("GET", f"/api/v1/calls/{call_id}")

    async def calls(self, campaign_id: str) -> list[dict[str, Any]]:
        """Returns the newest calls of the campaign, at most one page."""
        page = await self._request("GET", f"/api/v1/calls?campaign_id={quote(campaign_id, safe='')}")
        return list(page["calls"])

    async def import_contacts(
        self, campaign_id: str, file: ContactFile, *, dry_run: bool, from_line: int, refused: Path | None
    ) -> dict[str, Any]:
        """Sends a file of contacts and returns the result; writes the refused rows to `refused`, a new CSV file.

        Only the owner can read it, because it contains numbers.
        """
        headers = {"Content-Type": file.media_type, "Content-Length": str(file.size)}
        if refused:
            headers["Accept"] = "text/csv"
        sent = self._http.build_request(
            "POST",
            f"{_path(campaign_id)}/contacts",
            params={"dry_run": dry_run, "from_line": from_line},
            headers=headers,
            content=file.parts(),
            timeout=_IMPORT_TIMEOUT,
        )
        response = await self._answer(self._http.send(sent, stream=True))
        try:
            if refused and response.is_success:
                with create_private_file(refused) as written:
                    async for part in response.aiter_bytes():
                        written.write(part)
                return dict(json.loads(response.headers["Import-Result"]))
            await response.aread()
        finally:
            await response.aclose()
        return self._object_of(response)

    async def decisions(self, call_id: UUID) -> list[dict[str, Any]]:
        """Returns the decisions about the call, oldest first."""
        return await self._list(f"/api/v1/calls/{call_id}/decisions")

    async def decisions_on_contact(self, campaign_id: str, contact_id: str) -> list[dict[str, Any]]:
        """Returns the decisions about the call of a contact, or why it was refused."""
        query = urlencode({"contact_id": contact_id})
        return await self._list(f"{_path(campaign_id)}/decisions?{query}")

    async def find_attempt(self, provider_call_id: str, campaign_id: str | None) -> UUID:
        """Returns the id of the call of which an attempt has this id at the telephone provider."""
        given = {"provider_call_id": provider_call_id, "campaign_id": campaign_id, "limit": 1}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        for call in (await self._request("GET", f"/api/v1/calls?{query}"))["calls"]:
            if provider_call_id in call.get("provider_call_ids", ()):  # an older edge lists other calls
                return UUID(call["id"])
        reason = f"no call has {provider_call_id} as the provider's id of an attempt"
        raise RequestFailed(f"Not found: {reason}. Calls of older builds need `centralita replay rebuild`.", 404)

    async def events(self, call_id: UUID) -> list[dict[str, Any]]:
        """Returns the events of the call, or why its contact was refused."""
        return await self._list(f"/api/v1/calls/{call_id}/events")

    async def _list(self, path: str) -> list[dict[str, Any]]:
        response = await self._send("GET", path)
        if response.is_success and isinstance(document := document_of(response), list):
            return document
        raise failure(self._url, response)

    async def list_number(
        self, phone_number: str, campaign_id: str | None, list_name: str | None = None
    ) -> dict[str, Any]:
        """Lists a number that must not be called, and returns its entries."""
        body = {"phone_number": phone_number, "campaign_id": campaign_id, "list_name": list_name}
        return await self._request("POST", _NUMBERS, body)

    async def unlist_number(
        self, number_id: str, campaign_id: str | None, list_name: str | None = None
    ) -> dict[str, Any]:
        """Removes an entry of the do-not-call lists, and returns those that remain."""
        return await self._request("DELETE", f"{_NUMBERS}/{number_id}{_of_list(campaign_id, list_name)}")

    async def check_number(
        self, phone_number: str, campaign_id: str | None = None, list_name: str | None = None
    ) -> dict[str, Any]:
        """Returns the entries of a number, and its id."""
        path = f"{_NUMBERS}/check{_of_list(campaign_id, list_name)}"
        return await self._request("POST", path, {"phone_number": phone_number})

    async def erase_person(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Erases the person with this number or contact id, and returns the certificate, if it is finished."""
        return await self._request("POST", "/api/v1/persons/erase", dict(named))

    async def export_person(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Returns everything that is stored about the person with this number or contact id."""
        return await self._request("POST", "/api/v1/persons/export", dict(named))

    async def import_numbers(self, text: str) -> dict[str, Any]:
        """Lists the numbers of a CSV text, and returns the counts and the refused rows."""
        sent = self._http.post(f"{_NUMBERS}/import", content=text.encode(), timeout=_IMPORT_TIMEOUT)
        return self._object_of(await self._answer(sent))

    async def listed_numbers(
        self, campaign_id: str | None, list_name: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yields the listed numbers, each with its entries."""
        path: str | None = f"{_NUMBERS}{_of_list(campaign_id, list_name)}"
        while path:
            page = await self._request("GET", path)
            for number in page["numbers"]:
                yield number
            path = page["next"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._http.aclose()

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._object_of(await self._send(method, path, body))

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return await self._answer(self._http.request(method, path, json=body))

    def _object_of(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_success and isinstance(document := document_of(response), dict):
            return document
        raise failure(self._url, response)

    async def _answer(self, request: Awaitable[httpx.Response]) -> httpx.Response:
        try:
            return await request
        except httpx.TimeoutException as error:
            seconds = error.request.extensions["timeout"]["read"]
            raise RequestFailed(f"The REST API at {self._url} did not answer within {seconds:.0f} s.") from None
        except httpx.HTTPError:
            raise RequestFailed(
                f"The REST API does not answer at {self._url}. Start it with `centralita up`, or give --api-url."
            ) from None


def _validated_url(url: str) -> httpx.URL:
    """Returns the URL without a user in it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise RequestFailed("The address of the REST API must begin with http:// or https://. Check --api-url.", 422)
    return parsed.copy_with(username=None, password=None)


def _of_list(campaign_id: str | None, list_name: str | None) -> str:
    """Returns the query that names a do-not-call list; empty for that of all campaigns."""
    query = {"campaign_id": campaign_id, "list_name": list_name}
    given = urlencode({name: value for name, value in query.items() if value})
    return f"?{given}" if given else ""


def _path(campaign_id: str) -> str:
    return f"/api/v1/campaigns/{quote(campaign_id, safe='')}"
