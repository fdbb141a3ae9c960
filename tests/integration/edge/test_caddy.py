"""The edge behind a real Caddy that runs `deploy/Caddyfile`: limits, headers, and the client's address."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from unittest.mock import MagicMock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.integration.edge.conftest import API_KEY, dependencies_with

from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.application.running_imports import RunningImports
from edge.entrypoints.body_limit import MAX_BODY_BYTES, MAX_WEBHOOK_BYTES
from edge.entrypoints.http import create_app
from edge.settings import Settings
from telephony.twilio import TwilioWebhooks

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
CADDYFILE = Path(__file__).parents[3] / "deploy/Caddyfile"
WEBHOOK = "/twilio/status/5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11/1"
HOST = "calls.example.com"


async def client_address(request: Request) -> Response:
    assert request.client
    return PlainTextResponse(request.client.host)


async def media(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    return StreamingResponse(parts(), media_type="audio/mpeg")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def caddy(folder: Path, edge: str, voice: str) -> AsyncIterator[str]:
    """Runs Caddy on loopback and without TLS; the rest of its configuration is that of the deployment."""
    port = free_port()
    text = CADDYFILE.read_text().replace("edge:8000", edge.removeprefix("http://"))
    text = text.replace("voice:8000", voice.removeprefix("http://"))
    text = text.replace("\tadmin off\n", "\tadmin off\n\tdefault_bind 127.0.0.1\n", 1)
    file = folder / "Caddyfile"
    file.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("caddy"), "run", "--config", file),
        env={"APP_BASE_URL": f"http://{HOST}:{port}", "HOME": str(folder)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr
        async with asyncio.timeout(60):
            while b"serving initial configuration" not in (line := await process.stderr.readline()):
                assert line, "caddy has exited"
        reading = asyncio.create_task(process.stderr.read())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
    await reading


@pytest.fixture
async def proxied(settings: Settings, on_a_port: OnAPort, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of Caddy, with a valid key."""
    provider = TwilioWebhooks("token", "https://calls.example.com", "https://calls.example.com")
    imports = MagicMock(running=RunningImports())
    app = create_app(
        dependencies_with(provider=provider, contact_imports=imports),
        keys=settings.api_keys,
        buckets=TokenBuckets(RequestLimit(50, 100)),
        trusted_proxies=[IPv4Network("127.0.0.1")],
        routes=[Route("/client", client_address)],
    )
    voice = Starlette(routes=[Route("/media/turn", media)])
    headers = {"Host": HOST, "X-API-Key": API_KEY}
    async with (
        on_a_port(app) as edge_url,
        on_a_port(voice) as voice_url,
        caddy(tmp_path, edge_url, voice_url) as url,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http,
    ):
        yield http


async def test_caddy_limits_bodies_and_names_the_client(proxied: httpx.AsyncClient) -> None:
    signed = {"X-Twilio-Signature": "forged"}
    limits: tuple[tuple[str, dict[str, str], int, int], ...] = (
        (WEBHOOK, signed, MAX_WEBHOOK_BYTES, 403),
        ("/api/v1/calls", {}, MAX_BODY_BYTES, 422),
    )
    contacts = "/api/v1/campaigns/spring/contacts"
    assert (await proxied.post(contacts, content=b"a" * 4 * MAX_BODY_BYTES)).status_code == 415
    for path, headers, limit, below in limits:
        assert (await proxied.post(path, content=b"a" * limit, headers=headers)).status_code == below
        assert (await proxied.post(path, content=b"a" * (limit + 1), headers=headers)).status_code == 413
    forged = {"X-Forwarded-For": "203.0.113.9"}
    # Caddy replaces the header of its client, which is not a trusted proxy of its own.
    assert (await proxied.get("/client", headers=forged)).text == "127.0.0.1"
    async with proxied.stream("GET", "/media/turn") as answer:
        assert await anext(aiter(answer.aiter_bytes())) == b"first"


async def test_caddy_adds_security_headers_and_no_banner(proxied: httpx.AsyncClient) -> None:
    for path, status in (("/client", 200), ("/nowhere", 404), ("/metrics", 404)):
        answer = await proxied.get(path)
        assert answer.status_code == status
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not {"server", "via", "x-powered-by"} & answer.headers.keys()
