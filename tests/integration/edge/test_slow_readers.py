"""Clients that do not read what they have asked for: disconnected, of bounded cost, and no harm to others."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Send
from tests.integration.edge.conftest import API_KEY, Orchestrator
from tests.integration.edge.test_events import PATH, heard, opened, take

from chassis import slow_readers
from chassis.event_log import EventLog
from chassis.http_protocol import transport_of
from contracts import Call, CampaignCreateRequested, RequestedTerms
from edge.application import event_streams

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
CLIENTS = 4
EVENT_BYTES = 100_000
EVENTS = 80
"""More bytes than the kernel keeps for a connection whose client does not read."""
HIGH_WATER = 65_536
CONTACTS = "/api/v1/campaigns/spring/contacts?dry_run=true"


class Connections:
    """The application, and the connections of its requests by path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.transports: dict[str, set[asyncio.Transport]] = {}
        self.largest = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        transport = transport_of(scope)
        if transport and (b"user-agent", b"stuck") in scope["headers"]:
            self.transports.setdefault(scope["path"], set()).add(transport)
        await self._app(scope, receive, send)

    def waiting_bytes(self, path: str) -> int:
        """Returns what the process keeps for clients that do not read, and notes the most."""
        waiting = sum(one.get_write_buffer_size() for one in self.transports[path])
        self.largest = max(self.largest, waiting)
        return waiting


@pytest.fixture
def connections(app: ASGIApp) -> Connections:
    return Connections(app)


@pytest.fixture
async def url(connections: Connections, on_a_port: OnAPort, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(slow_readers, "SEND_SECONDS", 0.3)
    async with on_a_port(connections) as url:
        yield url


@pytest.fixture
async def edge(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose key has every scope, on a real port."""
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": API_KEY}, trust_env=False, timeout=60) as http:
        yield http


@pytest.fixture
def clients() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.socket()) for _ in range(CLIENTS)]


async def stuck(client: socket.socket, url: str, request: str, body: bytes = b"", headers: str = "") -> None:
    """Sends a request and receives the begin of its answer, and reads no more."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect((urlsplit(url).hostname, urlsplit(url).port))
    head = f"{request} HTTP/1.1\r\nHost: x\r\nUser-Agent: stuck\r\nX-API-Key: {API_KEY}\r\n{headers}"
    await asyncio.to_thread(client.sendall, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert await asyncio.to_thread(client.recv, 12) == b"HTTP/1.1 200"


def is_ended(client: socket.socket) -> bool:
    """Reads what the kernel still has; whether the connection has ended before the end of the answer."""
    received = b""
    try:
        while part := client.recv(1_000_000):
            received = part
    except ConnectionResetError:
        return True
    return not received.endswith(b"0\r\n\r\n")


async def test_streams_that_are_not_read_end_and_those_that_are_read_miss_nothing(
    edge: httpx.AsyncClient,
    url: str,
    connections: Connections,
    clients: list[socket.socket],
    talking: Call,
    calls: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(event_streams, "MAX_STREAMS_PER_KEY", CLIENTS + 1)
    for client in clients:
        await stuck(client, url, f"GET {PATH}?call_id={talking.call_id}")
    monkeypatch.setattr(slow_readers, "SEND_SECONDS", 60)
    async with opened(edge, call_id=talking.call_id) as events:
        history = await take(events, 2)
        received = []
        for turn in range(1, EVENTS + 1):
            await calls.append(heard(talking.call_id, "x" * EVENT_BYTES, turn))
            received += await take(events, 1)
            connections.waiting_bytes(PATH)
    await all_ended(connections, PATH)

    assert len(history) + len(received) == EVENTS + 2
    assert [event["data"]["data"]["turn"] for event in received] == list(range(1, EVENTS + 1))
    assert 0 < connections.largest <= CLIENTS * (HIGH_WATER + EVENT_BYTES + 5_000)
    assert [await asyncio.to_thread(is_ended, client) for client in clients] == [True] * CLIENTS
    assert "Exception in ASGI application" not in caplog.text
    async with opened(edge, call_id=talking.call_id, after=int(received[-2]["id"])) as events:
        assert await take(events, 1) == received[-1:]


async def test_refused_rows_that_are_not_read_end_with_their_connection(
    edge: httpx.AsyncClient,
    url: str,
    connections: Connections,
    clients: list[socket.socket],
    orchestrator: Orchestrator,
) -> None:
    terms = RequestedTerms(script_template="Hello {{name}}")
    await orchestrator.handle(CampaignCreateRequested(campaign_id="spring", terms=terms))
    rows = b"phone_number,contact_id,name\n" + b"".join(b"1,%d,%s\n" % (line, b"a" * 60_000) for line in range(200))
    await stuck(clients[0], url, f"POST {CONTACTS}", rows, "Content-Type: text/csv\r\nAccept: text/csv\r\n")
    path = urlsplit(CONTACTS).path
    connections.waiting_bytes(path)
    await all_ended(connections, path)

    assert connections.largest <= HIGH_WATER + EVENT_BYTES
    assert await asyncio.to_thread(is_ended, clients[0])
    again = await edge.post(CONTACTS, content=b"phone_number,name\n", headers={"Content-Type": "text/csv"})
    assert again.status_code == 200, again.text


async def all_ended(connections: Connections, path: str) -> None:
    """Waits until no connection of a path is open."""
    async with asyncio.timeout(60):
        while connections.waiting_bytes(path) or not all(one.is_closing() for one in connections.transports[path]):
            await asyncio.sleep(0.01)
