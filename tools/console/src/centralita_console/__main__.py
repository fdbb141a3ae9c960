"""``python -m centralita_console``: serves the console until SIGTERM or SIGINT."""

import asyncio
import json
import socket
import sys
from types import FrameType

import uvicorn

from centralita_console.app import api_client, create_app, file_client
from centralita_console.live_views import LiveViews
from centralita_console.settings import Settings
from chassis import logging_setup
from chassis.serve import http_config
from chassis.settings import read


def main() -> None:
    """Reads the settings and serves. Prints one JSON line with the port once it listens."""
    settings = read(Settings)
    logging_setup.configure("console", settings.log_level)
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Serves the console on its port, or on the socket of its parent process."""
    if settings.http_fd is not None:
        listener = socket.socket(fileno=settings.http_fd)
    else:
        listener = socket.create_server((settings.http_host, settings.http_port))
    sys.stdout.write(json.dumps({"event": "listening", "service": "console", "port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    async with api_client(settings) as http, file_client(settings) as files:
        app = create_app(settings, http, files)
        await _Server(http_config(app), app.state.live).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that ends the streams of browsers at a signal. uvicorn alone waits for them first."""

    def __init__(self, config: uvicorn.Config, views: LiveViews) -> None:
        super().__init__(config)
        self._views = views
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the stop. Python calls it between two instructions of the main thread."""
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._views.stop)


if __name__ == "__main__":
    main()
