"""Requests to the application as Twilio sends them: signed, with Twilio's timeouts and its one retry."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

import aiohttp
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from yarl import URL

from simulators.twilio.connection_overrides import ConnectionOverrides, split_overrides
from simulators.twilio.ledger import WebhookEntry

USER_AGENT = "TwilioProxy/1.1"
STREAM_USER_AGENT = "Twilio.TmeWs/1.0"
_CONNECT_ERRORS = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
_FORM = "application/x-www-form-urlencoded; charset=UTF-8"
_Request = Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]]


@dataclass(frozen=True)
class Answer:
    """An HTTP response or a failure.

    Failures: `ct` could not connect, `rt` no answer in time, `abandoned` the call ended during the request.
    """

    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    failure: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the answer is a 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def error_code(self) -> int:
        """Twilio's error code of the failure: 11205 could not connect, 11200 no usable answer."""
        return 11205 if self.failure == "ct" else 11200

    @property
    def retry_kind(self) -> str | None:
        """The failure as a connection override names it (ct, rt, 4xx, 5xx), or None without a failure."""
        if self.status is not None and self.status >= 400:
            return "5xx" if self.status >= 500 else "4xx"
        return self.failure


class Webhooks:
    """Signs and sends requests to the application.

    Each request uses a connection of its own: a stale kept-alive connection would look like a failure of the simulator.
    """

    def __init__(self, auth_token: str) -> None:
        self._validator = RequestValidator(auth_token)
        self._session: aiohttp.ClientSession | None = None

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, overrides: ConnectionOverrides
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Returns a request for exactly `url`, which is sent when it is entered. Raises an error of aiohttp."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=overrides.connect_timeout, sock_read=overrides.read_timeout
        )
        target = URL(url, encoded=url.isascii())
        return self._open_session().request(
            method, target, headers=headers, data=body or None, timeout=timeout, allow_redirects=False
        )

    async def open_websocket(
        self, url: str, *, close_seconds: float, max_bytes: int
    ) -> aiohttp.ClientWebSocketResponse:
        """Opens a WebSocket with a signature over exactly `url`, without a form. Raises an error of aiohttp."""
        headers = self.signed_headers(url) | {"User-Agent": STREAM_USER_AGENT}
        return await self._open_session().ws_connect(
            URL(url, encoded=url.isascii()),
            headers=headers,
            max_msg_size=max_bytes,
            timeout=aiohttp.ClientWSTimeout(ws_close=close_seconds),
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:  # it belongs to the running event loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def signed_headers(self, url: str, form: Mapping[str, str] | None = None) -> dict[str, str]:
        """Returns the headers of a request to the application. `url` is the whole URL without its fragment."""
        return {
            "User-Agent": USER_AGENT,
            "X-Twilio-Signature": self._validator.compute_signature(url, dict(form or {})),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        }

    async def send(self, url: str, form: Mapping[str, str], entry: WebhookEntry, *, method: str = "POST") -> Answer:
        """Requests `url` until it is answered or no retry is left, and records the result in `entry`.

        With GET the form is part of the query string and thus of the signed URL.
        """
        url, overrides = split_overrides(url)
        send = partial(self.request, *self._prepare(url, form, method), overrides)
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        deadline_at = started_at + overrides.total_timeout
        answer = Answer(failure="abandoned")
        try:
            for attempt in range(1, overrides.retries + 2):
                entry.attempts = attempt
                answer = await self._send_once(send, deadline_at)
                kind = answer.retry_kind
                if kind is None or not overrides.retries_after(kind) or loop.time() >= deadline_at:
                    break
        finally:
            entry.status, entry.error = answer.status, answer.failure
            entry.seconds = round(loop.time() - started_at, 4)
        return answer

    def _prepare(self, url: str, form: Mapping[str, str], method: str) -> tuple[str, str, dict[str, str], bytes]:
        """Returns method, URL, headers and body, which are the same for each retry."""
        if method.upper() == "GET":
            url += ("&" if "?" in url else "?") + urlencode(form)
            return "GET", url, self.signed_headers(url), b""
        return "POST", url, self.signed_headers(url, form) | {"Content-Type": _FORM}, urlencode(form).encode()

    async def _send_once(self, request: _Request, deadline_at: float) -> Answer:
        try:
            async with asyncio.timeout_at(deadline_at), request() as response:
                return Answer(response.status, response.headers.get("content-type", ""), await response.read())
        except _CONNECT_ERRORS:
            return Answer(failure="ct")
        except (aiohttp.ClientError, TimeoutError):
            return Answer(failure="rt")

    async def aclose(self) -> None:
        """Closes the client."""
        if self._session is not None:
            await self._session.close()
