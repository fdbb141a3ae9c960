"""Streams of events to browsers: those that do not read are disconnected, and told so when they connect again.

A server keeps what a browser has not read. So each part must be read within `SEND_SECONDS`: the buffers of a connection
have 64 kB and one part at most. Then the connection is aborted. A server that closes it would first wait until the
browser has read the rest, which a browser that reads nothing never does.
"""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable

import structlog
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chassis.http_protocol import transport_of

logger = structlog.get_logger()
SEND_SECONDS = 20.0
"""A browser that does not read for this long is disconnected."""
MAX_REMEMBERED = 1_000
MAX_NAME = 100
MEDIA_TYPE = "text/event-stream"
Parts = AsyncGenerator[str | bytes, None]


class SlowBrowsers:
    """The pages that were disconnected because they did not read. Each is told so when it connects again."""

    def __init__(self) -> None:
        self._pages: deque[str] = deque(maxlen=MAX_REMEMBERED)

    def add(self, page: str) -> None:
        """Remembers a page by its random name."""
        self._pages.append(page)

    def __contains__(self, page: str) -> bool:
        return bool(page) and page in self._pages


def new_page_name() -> str:
    """Returns a random name of one page in one browser, to tell it apart."""
    return secrets.token_urlsafe(12)


def stream_to(request: Request, page: str, parts: Parts) -> Response:
    """Sends parts to a page. One that was disconnected because it did not read is told so instead."""
    slow: SlowBrowsers = request.app.state.slow_browsers
    if page in slow:
        return Response(notice("stop", "slow"), media_type=MEDIA_TYPE)
    return ReadInTime(parts, on_timeout=lambda: slow.add(page))


def notice(event: str, kind: str, detail: str = "") -> str:
    """Returns a message about the stream. After ``away`` the browser connects again, after ``stop`` it does not."""
    return f"retry: 5000\nevent: {event}\ndata: {json.dumps({'kind': kind, 'detail': detail})}\n\n"


class ReadInTime(StreamingResponse):
    """A stream that ends if one part of it cannot be sent within `SEND_SECONDS`."""

    def __init__(self, content: Parts, *, on_timeout: Callable[[], None]) -> None:
        super().__init__(content, media_type=MEDIA_TYPE)
        self._content = content
        self._on_timeout = on_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream."""

        async def send_in_time(part: Message) -> None:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(part)
            except TimeoutError:
                raise _NotRead from None

        try:
            await super().__call__(scope, receive, send_in_time)
        except* _NotRead:
            logger.warning("stream_not_read", path=scope["path"], seconds=SEND_SECONDS)
            self._on_timeout()
            if transport := transport_of(scope):
                transport.abort()
        finally:
            await self._content.aclose()  # it waits at a part that was not sent


class _NotRead(Exception):
    """The browser did not read. No OSError, which would mean that it has disconnected."""
