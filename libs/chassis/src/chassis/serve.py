"""Runs a service: settings, logs, connection, streams, subscribers, HTTP; and back down in the reverse order."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TypeVar

import structlog
import uvicorn
from faststream.nats import NatsBroker
from faststream.nats.security import NatsUserPassword
from nats.aio.client import Client
from nats.errors import Error as NatsError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chassis import logging_setup as logs
from chassis import tracing
from chassis.addresses import connection
from chassis.barrier import wait_until_processed
from chassis.connection_errors import on_bus_error
from chassis.event_log import EventLog
from chassis.metrics import BUILD, metrics
from chassis.provision import wait_until_provisioned
from chassis.settings import ServiceSettings, read
from contracts import Service
from contracts.permissions import inbox_of
from contracts.streams import Stream

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bus:
    """The connection of `service` to NATS, and FastStream's broker on it."""

    client: Client
    broker: NatsBroker
    service: Service
    before_drain: AsyncExitStack = field(default_factory=AsyncExitStack)
    """Exits when the service is told to stop, before the connection is drained. For readers, on which a drain may wait
    for ever (nats-py), and for handlers that wait for their turn, whose messages another replica can handle."""

    def log(self, stream: Stream) -> EventLog:
        """Returns the log of events in a stream; appended events name this service as their source."""
        return EventLog(self.client, stream.name, source=self.service)


S = TypeVar("S", bound=ServiceSettings)
Build = Callable[[S, Bus], AbstractAsyncContextManager[ASGIApp]]
"""A composition root: makes the adapters, puts routers on ``bus.broker``, and gives the HTTP side."""


def serve(service: Service, kind: type[S], build: Build[S]) -> None:
    """Runs `service` until SIGTERM or SIGINT."""
    settings = read(kind)
    logs.configure(service, settings.log_level)
    asyncio.run(run(service, settings, build))


async def run(service: Service, settings: S, build: Build[S]) -> None:
    """As `serve`, inside a running loop. The port is printed as one JSON line on standard output once it listens."""
    bus = await connect_bus(service, settings.nats_url)
    broker, client = bus.broker, bus.client
    await wait_until_provisioned(client.jetstream(), service)
    BUILD.info({"service": service, "version": version("centralita-chassis")})
    async with AsyncExitStack() as stack:
        if endpoint := settings.otel_exporter_otlp_endpoint:
            stack.push_async_callback(asyncio.to_thread, tracing.start(service, str(endpoint)))
        app = await stack.enter_async_context(build(settings, bus))
        # Called before the adapters are closed: handlers that are under way may finish with them.
        stack.push_async_callback(_leave, broker, client)
        await stack.enter_async_context(bus.before_drain)
        await broker.start()
        await wait_until_processed(client)  # whoever sees it listening may ask it at once
        await _serve_http(app, service, settings)
    logger.info("stopped")


async def connect_bus(service: Service, url: str) -> Bus:
    """Connects to NATS as the user of `service`; ``bus.broker.start()`` then starts its subscribers.

    A server that stops answering is left after three pings, which is sooner than an append is given up. Handlers are
    called without FastDepends (``apply_types=False``), which would run each of their parameters in a thread.
    """
    to = connection(url)
    broker = NatsBroker(
        to["servers"],
        security=NatsUserPassword(to["user"], to["password"] or "") if to["user"] else None,
        name=service,
        inbox_prefix=inbox_of(service),
        error_cb=on_bus_error,
        logger=None,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        ping_interval=3,
        graceful_timeout=10,
        drain_timeout=10,
        apply_types=False,
    )
    client = await broker.connect()
    return Bus(client, broker, service)


async def _leave(broker: NatsBroker, client: Client) -> None:
    """Ends what is under way. Without a server there is nothing to tell it: what was not acknowledged comes again."""
    try:
        await broker.stop()
    except NatsError as error:
        logger.warning("bus_not_drained", error=type(error).__name__)
        await client.close()


async def _serve_http(app: ASGIApp, service: Service, settings: ServiceSettings) -> None:
    listener = _listener(settings)
    port = listener.getsockname()[1]
    sys.stdout.write(json.dumps({"event": "listening", "service": service, "port": port}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5, lifespan="off")
    # uvicorn stops at a signal and then raises it again; without a handler that would end the process there.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    await uvicorn.Server(config).serve(sockets=[listener])


def _listener(settings: ServiceSettings) -> socket.socket:
    """The parent's socket if there is one: connections wait in it while a service is started again."""
    if settings.http_fd is not None:
        return socket.socket(fileno=settings.http_fd)
    return socket.create_server((settings.http_host, settings.http_port))


def operations(client: Client) -> list[Route]:
    """The routes that every service has: ``/metrics``, ``/health/live`` and ``/health/ready``."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        if client.is_connected:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": "no connection to NATS"}, status_code=503)

    return [Route("/metrics", metrics), Route("/health/live", live), Route("/health/ready", ready)]
