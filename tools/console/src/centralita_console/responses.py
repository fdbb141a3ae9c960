"""Guards of every request and response: host names, sizes of bodies, and security headers."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 65_536
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_STORE = "no-store"


class Guards:
    """ASGI middleware: refuses foreign host names and large bodies, and sets the security headers of each response.

    A response that does not say how long it may be cached has personal data, and is not stored.
    """

    def __init__(self, app: ASGIApp, *, host_names: tuple[str, ...]) -> None:
        self._app = app
        self._host_names = host_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 421 to a foreign host and 413 to a large body; passes on all other requests."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                written = MutableHeaders(raw=message["headers"])
                written.update(SECURITY_HEADERS)
                written.setdefault("Cache-Control", NO_STORE)
            await send(message)

        if _host_name(headers.get("host", "")) not in self._host_names:
            refusal = PlainTextResponse("This host name is not that of the console. Check CONSOLE_URL.\n", 421)
            await refusal(scope, receive, send_guarded)
        elif not _is_short(headers):
            refusal = PlainTextResponse("The request is too large.\n", 413, {"Connection": "close"})
            await refusal(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


def _host_name(host: str) -> str:
    """Returns a host without its port."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _is_short(headers: Headers) -> bool:
    """Whether the body has a declared length within the limit, as every form of a browser has, or there is none."""
    length = headers.get("content-length", "0")
    return "transfer-encoding" not in headers and length.isdigit() and int(length) <= MAX_BODY_BYTES
