"""The address of a client behind a reverse proxy: only a trusted proxy can name it."""

from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.integration.edge.conftest import dependencies_with

from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.entrypoints.http import create_app
from edge.settings import Settings
from telephony.twilio import TwilioWebhooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp

    OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


async def client_address(request: Request) -> Response:
    assert request.client
    return PlainTextResponse(request.client.host)


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ("", "203.0.113.9", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.9", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first address comes from the client itself
        ("127.0.0.1", "203.0.113.9, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1, 10.0.0.0/8", "203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "2001:db8::9", "2001:db8::9"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
async def test_only_a_trusted_proxy_names_the_client(
    settings: Settings, on_a_port: "OnAPort", trusted: str, forwarded: str, client: str
) -> None:
    proxies = Settings.model_validate({**settings.model_dump(), "trusted_proxies": trusted}).trusted_proxies
    provider = TwilioWebhooks("token", "https://calls.example.com", "https://calls.example.com")
    dependencies = dependencies_with(provider=provider)
    app = create_app(
        dependencies,
        keys=(),
        buckets=TokenBuckets(RequestLimit(50, 100)),
        trusted_proxies=proxies,
        routes=[Route("/client", client_address)],
    )
    async with on_a_port(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        answer = await http.get("/client", headers={"X-Forwarded-For": forwarded})
    assert answer.text == client
