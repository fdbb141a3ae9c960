"""Twilio's Calls API through the official SDK. The only module that imports it.

What is checked here and not by the SDK: a deadline for every request, one request a dial, what an answer means.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from aiohttp import ClientConnectorError, ClientError, ClientSession, TCPConnector, encode_basic_auth
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]
from twilio.http.async_http_client import AsyncTwilioHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from contracts import PhoneNumber
from providers import Failure, Provider, Request, RequestFailed
from telephony import twilio as wire
from telephony.dial_failures import DialFailed, FailureClass
from voice.ports import DialOrder, ProviderCall

DEADLINE_SECONDS = 10.0
MAX_WAIT_SECONDS = 2.0
"""How long a request waits for capacity; with the deadline it stays within the patience of a claim."""
IDLE_SECONDS = 2.0
"""For how long a connection without a request is used again. If the provider closes it just then, the request is lost,
and of a dial nobody knows that: its call is given up. Servers wait longer before they do (uvicorn 5 s, nginx 75 s)."""
TIME_LIMIT_MARGIN_SECONDS = 60
"""Our own deadline ends a call that is too long; Twilio's only if nobody of us is left to do so."""
_LOWEST_ERROR_CODE = 10_000  # below it stands the HTTP status, in place of a code
_OVER_ALREADY = frozenset({20404, 21220})
_NOT_FOUND = 404
_LIST_OF_CALLS = "/Calls.json"
_CLIENT_ERRORS = 400
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_MAX_CALLS_A_DAY = 200


class TooManyRequests(Exception):
    """HTTP 429; `retry_after` in seconds, if Twilio gave it."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("HTTP 429")
        self.retry_after = retry_after


class _HttpClient(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The SDK's client, which ignores its time-out, knows no other base URL and hides the headers of an error.

    Its ``max_retries`` stays unset: it would repeat a dial after a 5xx.
    """

    def __init__(self, base_url: str, provider: Provider) -> None:
        super().__init__(pool_connections=False)
        self.session = ClientSession(connector=TCPConnector(keepalive_timeout=IDLE_SECONDS))
        self._base = urlsplit(base_url)
        self._provider = provider

    async def request(
        self, method: str, url: str, *, auth: tuple[str, str] | None = None, headers: Any = None, **rest: Any
    ) -> Response:
        """Raises TooManyRequests, TimeoutError, RequestFailed if the request was not sent, or what aiohttp raises."""
        asked = urlsplit(url)
        path = self._base.path.rstrip("/") + asked.path
        url = urlunsplit((self._base.scheme, self._base.netloc, path, asked.query, ""))
        if auth is not None:  # the SDK would use aiohttp's BasicAuth, which aiohttp has deprecated
            headers = {**(headers or {}), "Authorization": encode_basic_auth(*auth)}
        async with self._provider.request(max_wait_seconds=MAX_WAIT_SECONDS) as request:
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    response = await super().request(method, url, headers=headers, **rest)
            except (TimeoutError, ClientError) as error:
                request.failed(_kind(error))
                raise
            _judge(request, path, response)
        if response.status_code == _TOO_MANY_REQUESTS:
            raise TooManyRequests(_seconds(response.headers.get("Retry-After")))
        return response


def _kind(error: Exception) -> Failure:
    if isinstance(error, TimeoutError):
        return Failure.DEADLINE
    return Failure.UNREACHABLE if isinstance(error, ClientConnectorError) else Failure.CUT_OFF


def _judge(request: Request, path: str, response: Response) -> None:
    """A refusal is an answer, also one for being too quick: the pace is ours to mend. Unless everybody would get it."""
    status = response.status_code
    if status >= _SERVER_ERRORS:
        request.failed(Failure.SERVER_ERROR)
    elif status == _TOO_MANY_REQUESTS:
        request.refused(Failure.RATE_LIMITED)
    elif status < _CLIENT_ERRORS:
        request.succeeded()
    elif _concerns_everybody(path, status, _code(response.text)):
        request.failed(Failure.ACCOUNT)
    else:
        request.refused(Failure.REFUSED)


def _concerns_everybody(path: str, status: int, code: int | None) -> bool:
    """Of one call, "not found" says that there is no such call; of the list of calls, that there is no such account."""
    missing = status == _NOT_FOUND and not path.endswith(_LIST_OF_CALLS)
    return not missing and wire.classify_failure(status, code) is FailureClass.ACCOUNT


def _code(body: str) -> int | None:
    """Twilio's error code in the body of a refusal."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return _error_code(found.get("code")) if isinstance(found, dict) else None


def _error_code(found: object) -> int | None:
    return found if isinstance(found, int) and found >= _LOWEST_ERROR_CODE else None


@dataclass(frozen=True, slots=True)
class Twilio:
    """The ports `Telephony`, `SpokenFallback` and `Directory`. `callbacks`: the edge's address, no slash at its end."""

    client: Any
    number: PhoneNumber
    callbacks: str
    provider: str = wire.NAME

    async def place(self, order: DialOrder) -> str:
        """One POST; see `Telephony.place`."""
        urls, line = wire.build_urls(self.callbacks), (order.call_id, order.attempt)
        try:
            created = await self.client.calls.create_async(
                to=order.number,
                from_=self.number,
                url=urls.answered(*line),
                method="POST",
                status_callback=urls.status(*line),
                status_callback_event=list(wire.STATUS_EVENTS),
                status_callback_method="POST",
                machine_detection="DetectMessageEnd",
                async_amd="true",  # a string: the SDK would send True as "True"
                async_amd_status_callback=urls.classification(*line),
                async_amd_status_callback_method="POST",
                timeout=order.ring_seconds,
                time_limit=order.longest_seconds + TIME_LIMIT_MARGIN_SECONDS,
            )
        except Exception as error:  # whatever it is, the request may have left
            raise _dial_failed(error) from error
        if not created.sid:
            raise DialFailed(FailureClass.UNKNOWN, "the answer names no call")
        return str(created.sid)

    async def hang_up(self, provider_call_id: str) -> None:
        """Sets the status to completed, which ends a call in any state."""
        try:
            await self.client.calls(provider_call_id).update_async(status="completed")
        except TwilioException as error:
            status, code = _status_and_code(error)
            if status != _NOT_FOUND and code not in _OVER_ALREADY:
                raise

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int
    ) -> None:
        """Sends the call in progress to the edge's document for this (Twilio: *modify live calls*)."""
        url = wire.build_urls(self.callbacks).remainder(call_id, attempt, turn, sentence)
        try:
            await self.client.calls(provider_call_id).update_async(url=url, method="POST")
        except TwilioException as error:
            status, code = _status_and_code(error)
            if status != _NOT_FOUND and code not in _OVER_ALREADY:
                raise

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        """The call resource."""
        try:
            return _provider_call(await self.client.calls(provider_call_id).fetch_async())
        except TwilioException as error:
            if _status_and_code(error)[0] == _NOT_FOUND:
                return None
            raise

    async def calls_to(self, number: PhoneNumber, since: datetime) -> list[ProviderCall]:
        """Calls that started on that day or later, and those that wait in Twilio's queue: they have no start yet."""
        pair = {"to": number, "from_": self.number, "limit": _MAX_CALLS_A_DAY}
        started = await self.client.calls.list_async(**pair, start_time_after=since.date())
        queued = await self.client.calls.list_async(**pair, status="queued")
        return list({call.sid: _provider_call(call) for call in [*queued, *started]}.values())


@asynccontextmanager
async def connect(
    *, account_sid: str, auth_token: str, base_url: str, number: PhoneNumber, callbacks: str, provider: Provider
) -> AsyncIterator[Twilio]:
    """A client whose connections are closed at the end."""
    async with _HttpClient(base_url, provider) as http:
        yield Twilio(Client(account_sid, auth_token, http_client=http), number, callbacks.rstrip("/"))


def _dial_failed(error: Exception) -> DialFailed:
    if isinstance(error, TooManyRequests):
        return DialFailed(FailureClass.RATE_LIMITED, "HTTP 429", code=20429, retry_after_seconds=error.retry_after)
    if isinstance(error, RequestFailed):
        return DialFailed(FailureClass.UNREACHABLE, f"not sent: {error.failure.value}")
    if isinstance(error, ClientConnectorError):
        return DialFailed(FailureClass.UNREACHABLE, "no connection to the provider")
    status, code = _status_and_code(error)
    if status is None:
        return DialFailed(FailureClass.UNKNOWN, f"no answer: {type(error).__name__}")
    reason = f"HTTP {status}" if code is None else f"HTTP {status}, error {code}"
    return DialFailed(wire.classify_failure(status, code), reason, code=code)


def _status_and_code(error: Exception) -> tuple[int | None, int | None]:
    """The HTTP status and Twilio's error code; the SDK has two exceptions with them, and one without."""
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    if not isinstance(error, TwilioException) or not isinstance(status, int):
        return None, None
    return status, _error_code(code)


def _provider_call(call: Any) -> ProviderCall:
    return ProviderCall(
        provider_call_id=call.sid,
        status=wire.parse_call_status(call.status),
        created_at=call.date_created,
        duration_seconds=int(call.duration) if call.duration else None,
    )


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(float(retry_after), 0.0) if retry_after else None
    except ValueError:  # a date: our own pause will do
        return None
