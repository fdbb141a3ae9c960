"""Streams of events to browsers: those that do not read are disconnected, and told so when they connect again.

Each part must be read within `SEND_SECONDS` (`chassis.slow_readers`).
"""

import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis.slow_readers import ReadInTime

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
    return ReadInTime(
        _ClosedParts(parts, media_type=MEDIA_TYPE), seconds=SEND_SECONDS, on_timeout=lambda: slow.add(page)
    )


def notice(event: str, kind: str, detail: str = "") -> str:
    """Returns a message about the stream. After ``away`` the browser connects again, after ``stop`` it does not."""
    return f"retry: 5000\nevent: {event}\ndata: {json.dumps({'kind': kind, 'detail': detail})}\n\n"


class _ClosedParts(StreamingResponse):
    """A stream that closes its parts at its end: they wait at one that was not sent."""

    body_iterator: Parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the parts."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.body_iterator.aclose()
