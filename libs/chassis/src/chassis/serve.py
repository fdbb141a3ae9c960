"""Runs a service: settings, logs, connection, streams, subscribers and HTTP, and an orderly stop in reverse order.

A service stops at SIGTERM or SIGINT with exit code 0. It exits with code 1 if its connection to NATS is closed for good
(law 14). nats-py does not reconnect after an error that the server reports on the connection.
"""

import asyncio
import gc
import json
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from types import FrameType
from typing import TypeVar

import structlog
import uvicorn
import uvloop
from faststream.nats.security import NatsUserPassword
from nats.aio.client import Client
from nats.errors import Error as NatsError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chassis import logging_setup, tracing
from chassis.addresses import connection
from chassis.barrier import wait_until_processed
from chassis.broker import GRACEFUL_SECONDS, Broker
from chassis.bus_clock import wall_clock
from chassis.connection_errors import on_bus_error
from chassis.event_log import EventLog
from chassis.header_lines import remember_header_names
from chassis.http_protocol import LimitedHttpProtocol
from chassis.keyring import Keyring
from chassis.metrics import BUILD, metrics
from chassis.provisioned import wait_until_provisioned
from chassis.service_status import answer_status
from chassis.settings import KeySettings, ServiceSettings, master_key_of, read
from chassis.subject_bytes import replace_invalid_subject_bytes
from contracts.permissions import inbox_of
from contracts.streams import Stream
from sealing import WrongMasterKey

logger = structlog.get_logger()

MIN_GARBAGE = 10_000
"""A collection of garbage begins after so many new objects, in place of Python's 700: most are freed without one."""
_DATE_SECONDS = 1.0
MAX_CONNECTIONS = 1_000
"""Connections of one process; uvicorn answers further requests with 503. It has no time limit for a slow request."""


@dataclass(frozen=True, slots=True)
class Bus:
    """The connection of `service` to NATS, and FastStream's broker on it."""

    client: Client
    broker: Broker
    service: str
    must_stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at a signal, and when the connection is closed for good."""
    before_drain: AsyncExitStack = field(default_factory=AsyncExitStack)
    """Exits when the service must stop, before the connection is drained. For readers, on which a drain may wait
    for ever (nats-py), and for handlers that wait for their turn, whose messages another replica can handle."""

    @property
    def keyring(self) -> Keyring | None:
        """The keys of persons; None: the service reads no personal data."""
        return self.broker.keyring

    async def open_keys(self, settings: KeySettings) -> Keyring:
        """Lets the service seal and open personal data. Call it before `log`. Raises WrongMasterKey.

        Returns the keys. The service stops once the keys are wrapped under a master key that it does not know.
        """
        master_key = master_key_of(settings.master_key, settings.former_master_key)
        keyring = Keyring(self.client, master_key, on_wrong_master_key=self.must_stop.set)
        await keyring.start()
        self.before_drain.push_async_callback(keyring.stop)
        self.broker.keyring = keyring
        return keyring

    def log(self, stream: Stream, now: Callable[[], datetime] = wall_clock) -> EventLog:
        """Returns the log of events in a stream; appended events name this service as their source."""
        return EventLog(self.client, stream.name, source=self.service, now=now, keyring=self.keyring)


class ConnectionClosed(Exception):
    """The connection to NATS is closed for good. The text is the last error of the connection, if there was one."""


S = TypeVar("S", bound=ServiceSettings)
Build = Callable[[S, Bus], AbstractAsyncContextManager[ASGIApp]]
"""A composition root: makes the adapters, includes routers in ``bus.broker`` and yields the HTTP application."""


def serve(service: str, kind: type[S], build: Build[S]) -> None:
    """Runs `service` on uvloop until SIGTERM or SIGINT."""
    settings = read(kind)
    logging_setup.configure(service, settings.log_level)
    _exclude_modules_from_collections()
    try:
        uvloop.run(run(service, settings, build))
    except ConnectionClosed as error:
        logger.critical("connection_closed", reason=str(error))
        raise SystemExit(1) from error
    except WrongMasterKey as error:
        sys.stderr.write(f"MASTER_KEY: {error} (see .env.example)\n")
        raise SystemExit(2) from None


def _exclude_modules_from_collections() -> None:
    """Has collections of garbage leave out what the imports have created: it stays until the end of the process.

    These are 140,000 objects in voice. A full collection of them stops the event loop for 70 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(MIN_GARBAGE)


async def run(service: str, settings: S, build: Build[S]) -> None:
    """Runs `service` in the running event loop. Prints one JSON line with the HTTP port once it listens.

    Raises ConnectionClosed and WrongMasterKey.
    """
    bus = await connect_bus(service, settings.nats_url)
    broker, client = bus.broker, bus.client
    await wait_until_provisioned(client, service)
    BUILD.info({"service": service, "version": version("centralita-chassis")})
    async with AsyncExitStack() as stack:
        if endpoint := settings.otel_exporter_otlp_endpoint:
            stack.push_async_callback(asyncio.to_thread, tracing.start(service, str(endpoint)))
        app = await stack.enter_async_context(build(settings, bus))
        # Called before the adapters are closed: running handlers still need them.
        stack.push_async_callback(_stop_broker, broker, client)
        await stack.enter_async_context(bus.before_drain)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, bus.must_stop.set)
        await broker.start()
        await answer_status(client, service)
        await wait_until_processed(client)  # requests may arrive as soon as the port is printed
        await _serve_http(app, settings, bus)
        if client.is_closed:
            raise ConnectionClosed(str(client.last_error or "closed without an error"))
        if bus.keyring and bus.keyring.wrong_master_key:
            raise bus.keyring.wrong_master_key
    logger.info("stopped")


async def connect_bus(service: str, url: str) -> Bus:
    """Connects to NATS as the user of `service`; ``bus.broker.start()`` then starts its subscribers.

    After 9 s without an answer to a ping the client changes to another server; an append retries for longer. Handlers
    are called without FastDepends (``apply_types=False``), which would resolve each of their parameters in a thread.
    """
    to, must_stop = connection(url), asyncio.Event()

    async def on_closed() -> None:
        must_stop.set()

    broker = Broker(
        to["servers"],
        security=NatsUserPassword(to["user"], to["password"] or "") if to["user"] else None,
        name=service,
        inbox_prefix=inbox_of(service),
        error_cb=on_bus_error,
        closed_cb=on_closed,
        logger=None,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        ping_interval=3,
        graceful_timeout=GRACEFUL_SECONDS,
        drain_timeout=10,
        apply_types=False,
    )
    client = await broker.connect()
    replace_invalid_subject_bytes(client)
    remember_header_names(client)
    return Bus(client, broker, service, must_stop)


async def _stop_broker(broker: Broker, client: Client) -> None:
    """Waits for running handlers and drains the connection.

    If that fails, the server delivers the unacknowledged messages again.
    """
    try:
        await broker.stop()
    except NatsError as error:
        logger.warning("bus_not_drained", error=type(error).__name__)
        await client.close()


def http_config(app: ASGIApp) -> uvicorn.Config:
    """Returns how every service serves HTTP."""
    return uvicorn.Config(
        app,
        http=LimitedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # true: uvicorn would believe X-Forwarded-For of every client on this machine
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=5,
        lifespan="off",
    )


async def _serve_http(app: ASGIApp, settings: ServiceSettings, bus: Bus) -> None:
    """Serves HTTP until the service must stop."""
    listener = _listener(settings)
    port = listener.getsockname()[1]
    sys.stdout.write(json.dumps({"event": "listening", "service": bus.service, "port": port}) + "\n")
    sys.stdout.flush()
    await _Server(http_config(app), bus.must_stop).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that stops as soon as `must_stop` is set, and sets it at a signal.

    uvicorn alone raises a signal again only after all responses have ended. It also looks ten times a second whether
    it must stop, which was most of what an idle service did.
    """

    def __init__(self, config: uvicorn.Config, must_stop: asyncio.Event) -> None:
        super().__init__(config)
        self._must_stop = must_stop
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the stop. Python calls it between two instructions of the main thread."""
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._must_stop.set)

    async def main_loop(self) -> None:
        """Returns when the server must stop. `on_tick` renews the header ``Date``, if its argument is 0."""
        while not await self.on_tick(0) and not self._must_stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_DATE_SECONDS):
                    await self._must_stop.wait()


def _listener(settings: ServiceSettings) -> socket.socket:
    """Returns a listening socket: that of the parent process, if there is one.

    The socket of the parent process queues new connections while the service restarts.
    """
    if settings.http_fd is not None:
        return socket.socket(fileno=settings.http_fd)
    return socket.create_server((settings.http_host, settings.http_port))


def operations(client: Client) -> list[Route]:
    """Returns the routes of every service: ``/metrics``, ``/health/live`` and ``/health/ready``.

    A service is not live once its connection to NATS is closed for good, also before its process has ended.
    """

    async def live(_: Request) -> Response:
        if client.is_closed:
            return JSONResponse({"status": "not live", "reason": "NATS connection closed"}, status_code=503)
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        if client.is_connected:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": "no connection to NATS"}, status_code=503)

    return [Route("/metrics", metrics), Route("/health/live", live), Route("/health/ready", ready)]
