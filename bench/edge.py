"""What a request costs the edge, without NATS: client and server in one process, one connection each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import uvicorn
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.serve import http_config
from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.entrypoints.http import Dependencies, create_app
from telephony.provider import Report
from telephony.twilio import TwilioWebhooks

TOKEN, PUBLIC_URL = "token", "https://calls.example.com"
WEBHOOK = "/twilio/status/5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11/1"
MAX_MICROSECONDS = 50_000
"""The most that one unauthenticated request may cost (1 MB form without a signature)."""
STATUS_FORM = {
    **{f"Field{number}": f"value {number}" for number in range(22)},
    "CallSid": "CA00000000000000000000000000000001",
    "CallStatus": "ringing",
    "SequenceNumber": "1",
}
"""As many fields as Twilio sends."""
FORM_OF_A_MEGABYTE = "&".join(f"F{number}=" for number in range(125_000)).encode()
LARGEST_FORM = "&".join(f"F{number}={'a' * 300}" for number in range(200)).encode()
Work = Callable[[], Awaitable[None]]


class _NoDialogue:
    """Stores nothing."""

    async def record(self, report: Report) -> None:
        """Returns at once."""


def status_signature() -> str:
    """Returns the signature of `STATUS_FORM` for `WEBHOOK`."""
    return str(RequestValidator(TOKEN).compute_signature(PUBLIC_URL + WEBHOOK, STATUS_FORM))


@asynccontextmanager
async def edge_requests() -> AsyncIterator[Callable[[bytes, str], Work]]:
    """Yields a function of a form and a signature ("" for none) that returns the request as work."""
    provider = TwilioWebhooks(TOKEN, PUBLIC_URL, PUBLIC_URL)
    used = {"dialogue": _NoDialogue(), "provider": provider}
    parts: dict[str, Any] = {**dict.fromkeys(field.name for field in fields(Dependencies)), **used}
    dependencies = Dependencies(**parts)
    app = create_app(dependencies, keys=(), buckets=TokenBuckets(RequestLimit(50, 100)))
    config = http_config(app)
    config.port = 0
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def request(form: bytes, signature: str) -> Work:
        lines = [f"POST {WEBHOOK} HTTP/1.1", "Host: edge", f"Content-Length: {len(form)}", "Connection: close"]
        if signature:
            lines.append(f"X-Twilio-Signature: {signature}")
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()

        async def send() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + form)
            await reader.readline()
            writer.close()

        return send

    with capture_logs():  # otherwise each refusal is printed
        yield request
    server.should_exit = True
    await serving
