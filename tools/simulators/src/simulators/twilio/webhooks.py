"""Requests to the application as Twilio sends them: signed, with Twilio's timeouts and its one retry."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from simulators.twilio.connection_overrides import ConnectionOverrides, split_overrides
from simulators.twilio.ledger import WebhookEntry

USER_AGENT = "TwilioProxy/1.1"
_FORM = "application/x-www-form-urlencoded; charset=UTF-8"


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
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    @property
    def client(self) -> httpx.AsyncClient:
        """The HTTP client, for requests that are not webhooks: the download of a <Play>."""
        return self._client

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
        request = self._build_request(url, form, method, overrides)
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        deadline_at = started_at + overrides.total_timeout
        answer = Answer(failure="abandoned")
        try:
            for attempt in range(1, overrides.retries + 2):
                entry.attempts = attempt
                answer = await self._send_once(request, deadline_at)
                kind = answer.retry_kind
                if kind is None or not overrides.retries_after(kind) or loop.time() >= deadline_at:
                    break
        finally:
            entry.status, entry.error = answer.status, answer.failure
            entry.seconds = round(loop.time() - started_at, 4)
        return answer

    def _build_request(
        self, url: str, form: Mapping[str, str], method: str, overrides: ConnectionOverrides
    ) -> httpx.Request:
        timeout = httpx.Timeout(overrides.read_timeout, connect=overrides.connect_timeout)
        if method.upper() == "GET":
            url += ("&" if "?" in url else "?") + urlencode(form)
            return self._client.build_request("GET", url, headers=self.signed_headers(url), timeout=timeout)
        headers = self.signed_headers(url, form) | {"Content-Type": _FORM}
        return self._client.build_request(
            "POST", url, content=urlencode(form).encode(), headers=headers, timeout=timeout
        )

    async def _send_once(self, request: httpx.Request, deadline_at: float) -> Answer:
        try:
            async with asyncio.timeout_at(deadline_at):
                response = await self._client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
            return Answer(failure="ct")
        except (httpx.HTTPError, TimeoutError):
            return Answer(failure="rt")
        return Answer(response.status_code, response.headers.get("content-type", ""), response.content)

    async def aclose(self) -> None:
        """Closes the client."""
        await self._client.aclose()
