"""Requests to our side, as Twilio sends them: signed, with its time-outs and its one retry."""

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
    """What came back: an HTTP response, or a failure: `ct` never connected, `rt` no answer in
    time, `abandoned` the call ended while it was under way."""

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
        """Twilio's code for this failure: 11205 could not connect, 11200 no usable answer."""
        return 11205 if self.failure == "ct" else 11200

    @property
    def retry_kind(self) -> str | None:
        """The connection-override word of this failure; None when there is none."""
        if self.status is not None and self.status >= 400:
            return "5xx" if self.status >= 500 else "4xx"
        return self.failure


class Webhooks:
    """Signs and sends. One connection a request: a kept connection that died would look like our failure."""

    def __init__(self, auth_token: str) -> None:
        self._validator = RequestValidator(auth_token)
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    @property
    def client(self) -> httpx.AsyncClient:
        """The client, for what is not a webhook: the download of a <Play>."""
        return self._client

    def signed(self, url: str, form: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers of every request to our side. `url` is the whole URL without a fragment."""
        return {
            "User-Agent": USER_AGENT,
            "X-Twilio-Signature": self._validator.compute_signature(url, dict(form or {})),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        }

    async def send(self, url: str, form: Mapping[str, str], entry: WebhookEntry, *, method: str = "POST") -> Answer:
        """Request `url` until it is answered or the retries are used up; what happened goes to `entry`.

        GET carries the form in the query string, which is then part of what is signed.
        """
        bare, overrides = split_overrides(url)
        request = self._request(bare, form, method, overrides)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + overrides.total_timeout
        answer = Answer(failure="abandoned")
        try:
            for attempt in range(1, overrides.retries + 2):
                entry.attempts = attempt
                answer = await self._once(request, deadline)
                kind = answer.retry_kind
                if kind is None or not overrides.retries_after(kind) or loop.time() >= deadline:
                    break
        finally:
            entry.status, entry.error = answer.status, answer.failure
            entry.seconds = round(loop.time() - begun, 4)
        return answer

    def _request(self, url: str, form: Mapping[str, str], method: str, overrides: ConnectionOverrides) -> httpx.Request:
        timeout = httpx.Timeout(overrides.read_timeout, connect=overrides.connect_timeout)
        if method.upper() == "GET":
            url += ("&" if "?" in url else "?") + urlencode(form)
            return self._client.build_request("GET", url, headers=self.signed(url), timeout=timeout)
        headers = self.signed(url, form) | {"Content-Type": _FORM}
        return self._client.build_request(
            "POST", url, content=urlencode(form).encode(), headers=headers, timeout=timeout
        )

    async def _once(self, request: httpx.Request, deadline: float) -> Answer:
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
            return Answer(failure="ct")
        except (httpx.HTTPError, TimeoutError):
            return Answer(failure="rt")
        return Answer(response.status_code, response.headers.get("content-type", ""), response.content)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()
