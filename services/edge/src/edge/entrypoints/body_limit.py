"""Limits of request bodies, enforced before authentication and parsing."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.entrypoints.problems import problem_of

logger = structlog.get_logger()

MAX_BODY_BYTES = 1_000_000
MAX_WEBHOOK_BYTES = 65_536
"""A webhook's form has about 2 kB. `deploy/Caddyfile` has twice both limits, so that the edge answers."""
DISCARD_SECONDS = 2


class LimitBody:
    """ASGI middleware: answers 413 to a body above the limit of its path.

    `limits` are the bytes by a pattern of the path; `MAX_BODY_BYTES` is the limit of all other paths. A connection
    is closed if its request is answered before the body is complete; the server would read the rest without a limit.
    (Starlette's middleware answers in plain text, and leaves the connection open.)
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limits = [(re.compile(pattern), size) for pattern, size in limits.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses a body whose declared length is too large; counts the bytes of any other."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        limit = next((size for pattern, size in self._limits if pattern.fullmatch(path)), MAX_BODY_BYTES)
        headers = Headers(scope=scope)
        length = int(headers.get("content-length", 0))
        body = _Body(limit, receive, send, is_complete=not length and "transfer-encoding" not in headers)
        if length > limit:
            await problem_of(body.refusal())(scope, receive, body.send)
        else:
            await self._app(scope, body.receive, body.send)


class _Body:
    """The body of one request, and the response to it."""

    def __init__(self, limit: int, receive: Receive, send: Send, *, is_complete: bool) -> None:
        self._limit = limit
        self._receive = receive
        self._send = send
        self._is_complete = is_complete
        self._received_bytes = 0

    async def receive(self) -> Message:
        """Returns the next part. Raises HTTPException (413) if the parts exceed the limit."""
        message = await self._receive()
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._limit:
            raise self.refusal()
        self._is_complete = self._is_complete or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the response; after the last one, closes the connection if the body is not complete."""
        if not self._is_complete and message["type"] == "http.response.start":
            MutableHeaders(raw=message["headers"])["connection"] = "close"
        elif not self._is_complete and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._discard()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def refusal(self) -> HTTPException:
        """Logs and returns the error of a body that is too large."""
        logger.warning("body_too_large", limit_bytes=self._limit)
        return HTTPException(413, f"the body has more than {self._limit:,} bytes")

    async def _discard(self) -> None:
        """Reads what the client is still sending, up to twice the limit of most paths and for a short time.

        Closing a connection with unread data resets it, and a client that is still sending would not see the answer.
        """
        discarded_bytes = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while discarded_bytes < 2 * min(self._limit, MAX_BODY_BYTES):
                    message = await self._receive()
                    if not message.get("more_body", False):
                        return
                    discarded_bytes += len(message["body"])
