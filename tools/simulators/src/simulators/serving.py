"""One ASGI application on one socket, started and stopped from within a running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from simulators.connection_faults import reset_connection

_SHUTDOWN_SECONDS = 2  # how long requests under way may go on after the end


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves the signals to whoever runs it."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            _ended_by_shutdown(app),
            http="h11",  # abrupt ends reach into this protocol
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # paths and queries carry phone numbers
            proxy_headers=False,  # its middleware would hide the connection from the faults
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so. Raises RuntimeError where uvicorn would end the whole process."""
        try:
            await super().startup(sockets=sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start") from error
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Three servers share the process: none of them may take its signals."""
        yield


def _ended_by_shutdown(app: ASGIApp) -> ASGIApp:
    """The app; a request that outlives the shutdown's patience loses its connection instead of becoming a 500."""

    async def ended(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            await reset_connection(receive, send)

    return ended


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int = 0) -> AsyncIterator[str]:
    """Serve the app while the block runs; yields its origin, `http://host:port`. Port 0: the kernel chooses.

    Raises OSError when the port is taken, RuntimeError when the app's own start fails.
    """
    with socket.create_server((host, port)) as listener:
        server = _Server(app)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _until_listening(server, running)
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.wait({running})
        await running


async def _until_listening(server: _Server, running: asyncio.Task[None]) -> None:
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait({listening, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        listening.cancel()
        await running
