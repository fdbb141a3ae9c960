"""No dial request is lost on a connection that Twilio closes while it is idle."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.fakes.providers import provider
from tests.integration.voice.conftest import ACCOUNT_SID, AUTH_TOKEN, CALLEE, CALLER

from voice.adapters import twilio
from voice.ports import DialOrder

CREATED = b'{"sid": "CA1"}'
ANSWER = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(CREATED) + CREATED
)


async def _answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers once, and closes the connection when the next request arrives."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    while b"POST" not in (data := await reader.read(65536)) and data:
        continue
    writer.close()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with await asyncio.start_server(_answer_once, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_connection_that_was_idle_for_long_is_not_reused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twilio, "IDLE_SECONDS", 0.2)
    order = DialOrder(uuid4(), 1, CALLEE, 30, 600)
    async with twilio.connect(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        base_url=address,
        number=CALLER,
        callbacks=address,
        provider=provider("idle"),
    ) as telephony:
        assert await telephony.dial(order) == "CA1"
        await asyncio.sleep(0.4)
        assert await telephony.dial(order) == "CA1"
