"""A connection that Twilio closes while it is idle takes no dial along: a lost request would be a call given up."""

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


async def _answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keeps the connection open after its answer, and closes it when the next request is on its way."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    while b"POST" not in (said := await reader.read(65536)) and said:
        continue
    writer.close()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with await asyncio.start_server(_answers_once, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        assert await telephony.place(order) == "CA1"
        await asyncio.sleep(0.4)
        assert await telephony.place(order) == "CA1"
