"""A receiver of tool calls, whose answers a test prepares."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from simulators.connection_faults import close_connection


@dataclass
class ToolReceiver:
    """An ASGI application. The last part of the path names the fault; `requests` has what was received."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    has_received: asyncio.Event = field(default_factory=asyncio.Event)
    answer: object = field(default_factory=lambda: {"slots": ["10:00", "11:30"]})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.requests.append((dict(request.headers), await request.body()))
        self.has_received.set()
        fault = scope["path"].rsplit("/", 1)[-1]
        if fault == "cut":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            await close_connection(receive, send)
            return
        await self._response(fault, str(request.base_url))(scope, receive, send)

    def _response(self, fault: str, base: str) -> Response:
        match fault:
            case "redirect":
                return RedirectResponse(f"{base}other")
            case "error":
                return JSONResponse({"error": "full"}, 500)
            case "refusal":
                return JSONResponse({"error": "no such day"}, 422)
            case "huge":
                return StreamingResponse(_endless(), media_type="application/json")
            case "claimed":
                return Response(b"{}", media_type="application/json", headers={"content-length": str(10**12)})
            case "drip":
                return StreamingResponse(_drip(), media_type="application/json")
            case "never":
                return StreamingResponse(_silence(), media_type="application/json")
            case "html":
                return Response("<p>Hello</p>", media_type="text/html")
            case "broken":
                return Response(b'{"slots": [', media_type="application/json")
            case "deep":
                return Response(b"[" * 10_000, media_type="application/json")
            case "latin":
                return Response("mañana".encode("latin-1"), media_type="text/plain")
            case "compressed":
                return Response(b"x", media_type="application/json", headers={"content-encoding": "gzip"})
            case "text":
                return PlainTextResponse("a las diez")
            case "nothing":
                return Response(status_code=204)
        return JSONResponse(self.answer)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 65_536
        await asyncio.sleep(0)


async def _drip() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.01)


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.sleep(3600)
    yield b""
