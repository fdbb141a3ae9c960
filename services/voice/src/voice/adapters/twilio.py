"""Twilio's Calls API through the official SDK: dial, redirect, hang up, look up.

This module adds what the SDK lacks: a deadline for every request, exactly one request per dial, the meaning of each
answer. Webhook URLs and statuses are those of `telephony.twilio`, error classes those of `telephony.twilio_errors`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

import twilio.rest.api.v2010  # type: ignore[import-untyped]  # noqa: F401  the SDK would import it in the first dial
from aiohttp import ClientConnectorError, ClientError, ClientSession, TCPConnector, encode_basic_auth
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]
from twilio.http.async_http_client import AsyncTwilioHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client

from contracts import PhoneNumber
from contracts.values import CallerId
from providers import Failure, Provider, Request, RequestFailed
from telephony import twilio as wire
from telephony.dial_failures import DialFailed, FailureClass
from telephony.twilio_errors import classify_failure
from voice.ports import DialOrder, ProviderCall

DEADLINE_SECONDS = 10.0
MAX_WAIT_SECONDS = 2.0
"""The longest wait for capacity. Wait and deadline together are shorter than the time a claim is protected."""
IDLE_SECONDS = 2.0
"""How long an idle connection is kept. If the server closes it when a request is being sent, the request is lost.

A dial that is lost this way has an unknown outcome, and its call fails. Servers keep idle connections longer than this
(uvicorn 5 s, nginx 75 s), so the client closes them first.
"""
TIME_LIMIT_MARGIN_SECONDS = 60
"""Added to Twilio's time limit: the orchestrator's deadline ends a long call first, Twilio's only if we are down."""
_MIN_ERROR_CODE = 10_000  # the SDK puts the HTTP status, a smaller number, where a code is missing
_CALL_IS_OVER = frozenset({20404, 21220})
_NOT_FOUND = 404
_LIST_OF_CALLS = "/Calls.json"
_CLIENT_ERRORS = 400
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_MAX_CALLS_PER_DAY = 200


class TooManyRequests(Exception):
    """HTTP 429."""

    def __init__(self, retry_after_seconds: float | None) -> None:
        super().__init__("HTTP 429")
        self.retry_after_seconds = retry_after_seconds


class _HttpClient(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The SDK's HTTP client with a deadline, a configurable base URL and access to ``Retry-After``.

    Its ``max_retries`` must stay unset: it would repeat a dial after a 5xx.
    """

    def __init__(self, base_url: str, provider: Provider) -> None:
        super().__init__(pool_connections=False)
        # TWILIO_MAX_CONCURRENCY limits the connections.
        self.session = ClientSession(connector=TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS))
        self._base = urlsplit(base_url)
        self._provider = provider

    async def request(
        self,
        method: str,
        url: str,
        *,
        data: Mapping[str, Any] | None = None,
        auth: tuple[str, str] | None = None,
        headers: Any = None,
        **rest: Any,
    ) -> Response:
        """Sends one request.

        Raises RequestFailed if the provider is unavailable, else TooManyRequests, TimeoutError or an error of aiohttp.
        """
        original = urlsplit(url)
        path = self._base.path.rstrip("/") + original.path
        url = urlunsplit((self._base.scheme, self._base.netloc, path, original.query, ""))
        if auth is not None:  # the SDK would use aiohttp's BasicAuth, which aiohttp has deprecated
            headers = {**(headers or {}), "Authorization": encode_basic_auth(*auth)}
        if data:  # aiohttp would do the same by way of a multipart writer; the SDK has set Content-Type
            rest["data"] = urlencode(data, doseq=True).encode()
        async with self._provider.request(max_wait_seconds=MAX_WAIT_SECONDS) as request:
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    response = await super().request(method, url, headers=headers, **rest)
            except (TimeoutError, ClientError) as error:
                request.failed(_classify_error(error))
                raise
            _record_outcome(request, path, response)
        if response.status_code == _TOO_MANY_REQUESTS:
            raise TooManyRequests(_parse_seconds(response.headers.get("Retry-After")))
        return response


def _classify_error(error: Exception) -> Failure:
    if isinstance(error, TimeoutError):
        return Failure.DEADLINE
    return Failure.UNREACHABLE if isinstance(error, ClientConnectorError) else Failure.CUT_OFF


def _record_outcome(request: Request, path: str, response: Response) -> None:
    """Reports the outcome to the circuit breaker.

    A refusal, including 429, counts as a failure only if Twilio would refuse every other request too.
    """
    status = response.status_code
    if status >= _SERVER_ERRORS:
        request.failed(Failure.SERVER_ERROR)
    elif status == _TOO_MANY_REQUESTS:
        request.refused(Failure.RATE_LIMITED)
    elif status < _CLIENT_ERRORS:
        request.succeeded()
    elif _concerns_account(path, status, _code_in(response.text)):
        request.failed(Failure.ACCOUNT)
    else:
        request.refused(Failure.REFUSED)


def _concerns_account(path: str, status: int, code: int | None) -> bool:
    """Returns whether a refusal concerns the account. A 404 on the list of calls does; a 404 on one call does not."""
    is_missing_call = status == _NOT_FOUND and not path.endswith(_LIST_OF_CALLS)
    return not is_missing_call and classify_failure(status, code) is FailureClass.ACCOUNT


def _code_in(body: str) -> int | None:
    """Returns Twilio's error code in the body of a refusal."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return _error_code(content.get("code")) if isinstance(content, dict) else None


def _error_code(value: object) -> int | None:
    return value if isinstance(value, int) and value >= _MIN_ERROR_CODE else None


@dataclass(frozen=True, slots=True)
class Twilio:
    """Implements the ports `Telephony`, `SpokenFallback`, `MessageLine` and `CallDirectory`.

    `number` is the caller id of orders that name none, `caller_ids` the others that the account may use. `callbacks` is
    the edge's public address, without a slash at its end.
    """

    client: Any
    number: PhoneNumber
    callbacks: str
    caller_ids: frozenset[CallerId] = frozenset()
    provider: str = wire.NAME

    async def dial(self, order: DialOrder) -> str:
        """Sends exactly one POST and returns the call's SID. Raises DialFailed and no other exception.

        Twilio would refuse an unknown caller id as it refuses a wrong account, so none is sent.
        """
        caller_id = order.caller_id or self.number
        if caller_id not in (self.number, *self.caller_ids):
            raise DialFailed(FailureClass.NOT_ALLOWED, "the caller id is not among CALLER_IDS of voice")
        urls, attempt = wire.build_urls(self.callbacks), (order.call_id, order.attempt)
        try:
            created = await self.client.calls.create_async(
                to=order.number,
                from_=caller_id,
                url=urls.answered(*attempt),
                method="POST",
                status_callback=urls.status(*attempt),
                status_callback_event=list(wire.STATUS_EVENTS),
                status_callback_method="POST",
                machine_detection="DetectMessageEnd",
                async_amd="true",  # a string: the SDK would send True as "True"
                async_amd_status_callback=urls.classification(*attempt),
                async_amd_status_callback_method="POST",
                timeout=order.ring_seconds,
                time_limit=order.max_call_seconds + TIME_LIMIT_MARGIN_SECONDS,
            )
        except Exception as error:  # after any error the request may have been sent
            raise _dial_failed(error) from error
        if not created.sid:
            raise DialFailed(FailureClass.UNKNOWN, "the answer contains no call id")
        return str(created.sid)

    async def hang_up(self, provider_call_id: str) -> None:
        """Ends a call in any state by setting its status to ``completed``; an ended call is no error."""
        await self._update(provider_call_id, status="completed")

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int, after_sequence: int = 0
    ) -> None:
        """Redirects the call to the edge (Twilio: *modify live calls*); an ended call is no error."""
        urls = wire.build_urls(self.callbacks)
        url = urls.remainder(call_id, attempt, turn, sentence, after_sequence=after_sequence)
        await self._update(provider_call_id, url=url, method="POST")

    async def redirect_to_message(self, provider_call_id: str, call_id: UUID, attempt: int) -> None:
        """Redirects the call to the edge; an ended call is no error."""
        url = wire.build_urls(self.callbacks).message(call_id, attempt)
        await self._update(provider_call_id, url=url, method="POST")

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        """Returns the call's record, or none if Twilio has no such call."""
        try:
            return _provider_call(await self.client.calls(provider_call_id).fetch_async())
        except TwilioException as error:
            if _status_and_code(error)[0] == _NOT_FOUND:
                return None
            raise

    async def list_calls(
        self, number: PhoneNumber, created_after: datetime, caller_id: CallerId | None
    ) -> list[ProviderCall]:
        """Returns calls to a number. Twilio filters by day; queued calls have no start time and are listed apart.

        They are listed first: a call that starts meanwhile is in both lists, and in the other order it is in none.
        """
        numbers = {"to": number, "from_": caller_id or self.number, "limit": _MAX_CALLS_PER_DAY}
        queued = await self.client.calls.list_async(**numbers, status="queued")
        started = await self.client.calls.list_async(**numbers, start_time_after=created_after.date())
        return list({call.sid: _provider_call(call) for call in [*queued, *started]}.values())

    async def _update(self, provider_call_id: str, **changes: str) -> None:
        """Changes a call; has no effect if it is over."""
        try:
            await self.client.calls(provider_call_id).update_async(**changes)
        except TwilioException as error:
            status, code = _status_and_code(error)
            if status != _NOT_FOUND and code not in _CALL_IS_OVER:
                raise


@asynccontextmanager
async def connect(
    *,
    account_sid: str,
    auth_token: str,
    base_url: str,
    number: PhoneNumber,
    callbacks: str,
    provider: Provider,
    caller_ids: frozenset[CallerId] = frozenset(),
) -> AsyncIterator[Twilio]:
    """Yields the adapter and closes its connections at the end."""
    async with _HttpClient(base_url, provider) as http:
        client = Client(account_sid, auth_token, http_client=http)
        yield Twilio(client, number, callbacks.rstrip("/"), caller_ids)


def _dial_failed(error: Exception) -> DialFailed:
    if isinstance(error, TooManyRequests):
        return DialFailed(
            FailureClass.RATE_LIMITED, "HTTP 429", code=20429, retry_after_seconds=error.retry_after_seconds
        )
    if isinstance(error, RequestFailed):
        return DialFailed(FailureClass.UNREACHABLE, f"not sent: {error.failure.value}")
    if isinstance(error, ClientConnectorError):
        return DialFailed(FailureClass.UNREACHABLE, "no connection to the provider")
    status, code = _status_and_code(error)
    if status is None:
        return DialFailed(FailureClass.UNKNOWN, f"no answer: {type(error).__name__}")
    reason = f"HTTP {status}" if code is None else f"HTTP {status}, error {code}"
    return DialFailed(classify_failure(status, code), reason, code=code)


def _status_and_code(error: Exception) -> tuple[int | None, int | None]:
    """Returns the HTTP status and Twilio's error code. Only two of the SDK's three exceptions have them."""
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


def _parse_seconds(retry_after: str | None) -> float | None:
    try:
        return max(float(retry_after), 0.0) if retry_after else None
    except ValueError:  # an HTTP date: the caller's own delay is used
        return None
