"""Limits of request bodies, enforced before authentication and parsing: their size, and how slowly they arrive.

A slow client holds a connection, and one of the few imports that run at a time. So a body is waited for only
`SLOW_SECONDS`, and for the rest as long as it takes at `MIN_BYTES_PER_SECOND`. The time in which the application
handles what has arrived does not count.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = structlog.get_logger()

SLOW_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 16_384
"""The largest import takes nine hours at this rate."""
DISCARD_SECONDS = 2
IN_FLIGHT_BYTES = 16 * 2**20
"""What a client on the same machine may have sent before it sees an answer: the buffers of both ends."""


class LimitBody:
    """ASGI middleware: answers 413 to a body above the limit of its path, and 408 to one that arrives too slowly.

    `limits` are the bytes by a pattern of the path; `default` is the limit of all other paths. A connection is closed
    if its request is answered before the body is complete; the server would read the rest without a limit.
    (Starlette's middleware leaves the connection open.) `answer` returns the response for a declared length that is too
    large; for a body without one, the application receives the exception.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Mapping[str, int], default: int, answer: Callable[[HTTPException], Response]
    ) -> None:
        self._app = app
        self._default = default
        self._answer = answer
        self._limits = [(re.compile(pattern), size) for pattern, size in limits.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses a body whose declared length is too large; counts the bytes of any other."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        limit = next((size for pattern, size in self._limits if pattern.fullmatch(path)), self._default)
        headers = Headers(scope=scope)
        length = int(headers.get("content-length", 0))
        is_complete = not length and "transfer-encoding" not in headers
        body = _Body(limit, receive, send, is_complete=is_complete, max_unread=2 * min(limit, self._default))
        if length > limit:
            await self._answer(body.refusal())(scope, receive, body.send)
        else:
            await self._app(scope, body.receive, body.send)


class _Body:
    """The body of one request, and the response to it."""

    def __init__(self, limit: int, receive: Receive, send: Send, *, is_complete: bool, max_unread: int) -> None:
        """`max_unread`: how many bytes of a body are discarded of which the application has read nothing."""
        self._limit = limit
        self._max_unread = max_unread
        self._receive = receive
        self._send = send
        self._is_complete = is_complete
        self._received_bytes = 0
        self._waited_seconds = 0.0

    async def receive(self) -> Message:
        """Returns the next part, or what follows the body.

        Raises HTTPException: 413 if the parts exceed the limit, and 408 if they arrive too slowly.
        """
        message = await (self._receive() if self._is_complete else self._receive_in_time())
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._limit:
            raise self.refusal()
        self._is_complete = self._is_complete or not message.get("more_body", False)
        return message

    async def _receive_in_time(self) -> Message:
        allowed_seconds = SLOW_SECONDS + self._received_bytes / MIN_BYTES_PER_SECOND
        began_at = monotonic()
        try:
            async with asyncio.timeout(allowed_seconds - self._waited_seconds):
                return await self._receive()
        except TimeoutError:
            logger.warning("body_too_slow", received_bytes=self._received_bytes)
            raise HTTPException(
                408,
                f"{self._received_bytes:,} bytes of the body arrived in {allowed_seconds:.0f} s; "
                f"send at least {MIN_BYTES_PER_SECOND:,} bytes a second after the first {SLOW_SECONDS:g} s",
            ) from None
        finally:
            self._waited_seconds += monotonic() - began_at

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
        """Reads for a short time what the client is still sending, up to a limit.

        Closing a connection with unread data resets it, and a client that is still sending would not see the answer. Of
        a body that the application has read in part, more may be on its way than of one that was refused at once.
        """
        max_bytes = (
            max(self._max_unread, min(self._limit, IN_FLIGHT_BYTES)) if self._received_bytes else self._max_unread
        )
        discarded_bytes = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while discarded_bytes < max_bytes:
                    message = await self._receive()
                    if not message.get("more_body", False):
                        return
                    discarded_bytes += len(message["body"])
