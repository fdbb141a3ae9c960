"""Serves one ASGI application on one socket, inside a running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from simulators.connection_faults import reset_connection

MAX_SOCKET_MESSAGE_BYTES = 1024 * 1024
_SHUTDOWN_SECONDS = 2  # time for requests in progress to finish


class _Server(uvicorn.Server):
    """A server that sets `listening` when it accepts connections, and leaves signals to its caller."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            _reset_on_shutdown(app),
            http="httptools",  # connection faults use the internals of this protocol
            ws="websockets-sansio",  # as for httptools
            ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,  # paths and queries contain phone numbers
            proxy_headers=False,  # its middleware would hide the connection from connection faults
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then sets `listening`. Raises RuntimeError where uvicorn would exit the process."""
        try:
            await super().startup(sockets=sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start") from error
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs no signal handlers: several servers share the process."""
        yield


def _reset_on_shutdown(app: ASGIApp) -> ASGIApp:
    """Wraps the app: resets the connection of what the shutdown cancels, instead of answering 500."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] == "lifespan":
                raise
            await reset_connection(receive, send)

    return wrapped


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int = 0) -> AsyncIterator[str]:
    """Serves the app while the block runs; yields its origin, `http://host:port`. Port 0 selects a free port.

    Raises OSError if the port is in use, RuntimeError if the app's start-up fails.
    """
    with socket.create_server((host, port)) as listener:
        server = _Server(app)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _wait_until_listening(server, running)
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.wait({running})
        await running


async def _wait_until_listening(server: _Server, running: asyncio.Task[None]) -> None:
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait({listening, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        listening.cancel()
        await running
