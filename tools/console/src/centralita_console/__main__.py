"""``python -m centralita_console``: serves the console until SIGTERM or SIGINT."""

import asyncio
import json
import socket
import sys

import uvicorn

from centralita_console.app import api_client, create_app
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
    async with api_client(settings) as http:
        await uvicorn.Server(http_config(create_app(settings, http))).serve(sockets=[listener])


if __name__ == "__main__":
    main()
