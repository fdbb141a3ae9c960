"""Browsers that do not read their stream of events: disconnected, told so, and of bounded cost to the process."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Send
from tests.builders.events import campaign_paused
from tests.integration.console.conftest import log_in
from tests.integration.edge.conftest import API_KEY
from tests.integration.edge.test_lists import CALL

from centralita_console import browser_streams, live_log
from centralita_console.app import api_client, create_app
from centralita_console.board import Board
from centralita_console.event_stream import message
from centralita_console.pages import call, now
from centralita_console.settings import Settings
from chassis.http_protocol import transport_of

if TYPE_CHECKING:
    from tests.integration.console.conftest import OnAPort

CLIENTS = 8
PART = 2_000_000
"""Bytes of a part: a few of them fill the buffers of the kernel."""
HIGH_WATER = 65_536
NOTHING: dict[str, object] = {"campaigns": [], "calls": [], "next": None}


async def endless() -> AsyncIterator[str]:
    event = campaign_paused("spring")
    fields, sequence = event.model_dump(mode="json"), 0
    while True:
        sequence += 1
        resource = {"sequence": sequence, "type": event.type_name(), "time": "2026-11-29T12:00:00Z", "data": fields}
        yield f"id: {sequence}\ndata: {json.dumps(resource)}\n\n"
        await asyncio.sleep(0)


def busy_api() -> FastAPI:
    """Returns a REST API that streams events without an end, and has nothing else."""
    api = FastAPI()

    @api.get("/api/v1/events")
    async def events() -> Response:
        return StreamingResponse(endless(), media_type="text/event-stream")

    @api.get("/api/v1/calls")
    @api.get("/api/v1/campaigns")
    async def lists() -> dict[str, object]:
        return NOTHING

    return api


@pytest.fixture
def large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event changes every page, by a part of `PART` bytes."""

    async def view(*_: object) -> dict[str, Any]:
        return {"is_final": False}

    monkeypatch.setattr(browser_streams, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(live_log, "MAX_KEPT", 5)
    monkeypatch.setattr(live_log, "line_of", lambda _: {"text": "w" * (PART // 5)})
    monkeypatch.setattr(Board, "apply", lambda *_: True)
    monkeypatch.setattr(now, "_message", lambda *_: message("w" * PART, 1))
    monkeypatch.setattr(call, "_view", view)
    monkeypatch.setattr(call, "_message", lambda *_: message("w" * PART, 1))


def stuck(url: str, path: str, cookie: str) -> socket.socket:
    """Returns a connection that has asked for a stream, and reads nothing."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    opened.connect((urlsplit(url).hostname, urlsplit(url).port))
    opened.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
    return opened


def is_ended(opened: socket.socket) -> bool:
    """Reads what the kernel still has; whether the connection has ended before the end of the answer."""
    received = b""
    try:
        while part := opened.recv(1_000_000):
            received = part
    except ConnectionResetError:
        return True
    return not received.endswith(b"0\r\n\r\n")


@pytest.mark.usefixtures("large_parts")
@pytest.mark.parametrize("path", ["/now/board", f"/calls/{CALL.call_id}/live", "/log/events"])
async def test_browsers_that_do_not_read_are_disconnected_and_told_to_load_the_page_again(
    path: str, on_a_port: "OnAPort"
) -> None:
    transports: set[asyncio.Transport] = set()
    async with AsyncExitStack() as stack:
        api_url = await stack.enter_async_context(on_a_port(busy_api()))
        settings = Settings.model_validate({"api_url": api_url})
        console = create_app(settings, await stack.enter_async_context(api_client(settings)))

        async def noted(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            if transport := transport_of(scope):
                transports.add(transport)
            await console(scope, receive, send)

        app: Any = noted
        url = await stack.enter_async_context(on_a_port(app))
        browser = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=60))
        await log_in(browser, API_KEY)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        pages = [f"page-{number}" for number in range(CLIENTS)]
        sockets = [stack.enter_context(stuck(url, f"{path}?page={page}", cookie)) for page in pages]

        largest = 0
        while any(page not in console.state.slow_browsers for page in pages):
            largest = max(largest, sum(one.get_write_buffer_size() for one in transports))
            await asyncio.sleep(0.02)
        while any(one.get_write_buffer_size() for one in transports):
            await asyncio.sleep(0.02)
        assert largest <= CLIENTS * (HIGH_WATER + PART + 1_000)
        assert not console.state.live._streams
        assert [await asyncio.to_thread(is_ended, one) for one in sockets] == [True] * CLIENTS
        told = await browser.get(f"{path}?page={pages[0]}")

    assert told.headers["content-type"].startswith("text/event-stream")
    assert "event: stop" in told.text
    assert '"kind": "slow"' in told.text
