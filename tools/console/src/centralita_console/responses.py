"""Guards of every request and response: host names, bodies of a declared length, and security headers.

**Compression** only where the length of a response tells nothing about a secret. A page of a session has the token of
its forms, and some pages repeat what the request contains. Who can make a browser send requests, and sees the lengths
of the compressed answers, could guess the token letter by letter (BREACH). So pages are sent as they are. Files are the
same for all. The part of a call's page for the slider has no token, and repeats only numbers of its request (ADR 57).
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 65_536
"""The limit of a form without a file."""
MIN_COMPRESSED_BYTES = 1_000
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
    """ASGI middleware: refuses foreign host names and bodies of unknown length, and sets security headers.

    A response that does not say how long it may be cached has personal data, and is not stored.
    """

    def __init__(self, app: ASGIApp, *, host_names: tuple[str, ...]) -> None:
        self._app = app
        self._host_names = host_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 421 to a foreign host and 411 to an unknown length; passes on all other requests."""
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
            reason = "This host name is not that of the console. Check CONSOLE_URL.\n"
            refusal = PlainTextResponse(reason, 421, {"Connection": "close"})
            await refusal(scope, receive, send_guarded)
        elif not _has_length(headers):
            refusal = PlainTextResponse("Send Content-Length.\n", 411, {"Connection": "close"})
            await refusal(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


class Compressed(Response):
    """Sends another response, compressed if the browser accepts that.

    An error of the endpoint is another response, and stays as it is.
    """

    def __init__(self, response: Response) -> None:
        self._response = response
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        await GZipMiddleware(self._response, minimum_size=MIN_COMPRESSED_BYTES)(scope, receive, send)


def _host_name(host: str) -> str:
    """Returns a host without its port."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _has_length(headers: Headers) -> bool:
    """Whether the body has a declared length, as every form of a browser has, or there is none."""
    length = headers.get("content-length", "0")
    return "transfer-encoding" not in headers and length.isascii() and length.isdigit()


def too_large(_: HTTPException) -> Response:
    """Returns the answer to a body whose declared length is above the limit of its path."""
    return PlainTextResponse("The request is too large.\n", 413)
