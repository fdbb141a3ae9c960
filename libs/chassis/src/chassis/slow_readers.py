"""Ends responses to clients that do not read them.

A server keeps what a client has not read: 64 kB and one part of the response at most, because the next part waits until
the client reads. A server that closes such a connection would first wait until the client has read the rest, which a
client that reads nothing never does. So the connection is aborted, which frees its buffer at once.
"""

import asyncio
from collections.abc import Callable

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from chassis.http_protocol import transport_of

logger = structlog.get_logger()
SEND_SECONDS = 30.0
"""A client that does not read for this long is disconnected."""


class ReadInTime(Response):
    """Sends another response. Aborts the connection if one part of it is not read within `seconds`."""

    def __init__(
        self, response: Response, *, seconds: float | None = None, on_timeout: Callable[[], None] = lambda: None
    ) -> None:
        self._response = response
        self._seconds = SEND_SECONDS if seconds is None else seconds
        self._on_timeout = on_timeout
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""

        async def send_in_time(part: Message) -> None:
            try:
                async with asyncio.timeout(self._seconds):
                    await send(part)
            except TimeoutError:
                raise _NotRead from None

        try:
            await self._response(scope, receive, send_in_time)
        except* _NotRead:
            logger.warning("response_not_read", path=scope["path"], seconds=self._seconds)
            self._on_timeout()
            if transport := transport_of(scope):
                transport.abort()
                await asyncio.sleep(0)  # the server notices the end before the response returns incomplete


class _NotRead(Exception):
    """The client did not read. No OSError, which would mean that it has disconnected."""
