"""aiohttp's errors keep their meaning behind the transport for httpx, which names every lost connection a time-out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from aiohttp import ServerTimeoutError
from httpx_aiohttp import HttpxAiohttpClient

from providers import Failure
from providers.connections import connection_failure


@asynccontextmanager
async def a_server(*, lasts_until_closed: bool) -> AsyncIterator[int]:
    """Accepts connections and answers nothing; it closes each at once, or when the client does."""
    ended = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if lasts_until_closed:
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


async def error_of(port: int, timeout: float = 5) -> Exception:
    async with HttpxAiohttpClient(timeout=timeout) as client:
        with pytest.raises(httpx.HTTPError) as raised:
            await client.post(f"http://127.0.0.1:{port}/", content=b"hello")
    return raised.value


async def test_a_refused_connection_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert connection_failure(await error_of(port)) is Failure.UNREACHABLE


async def test_a_connection_that_is_closed_before_the_answer_is_cut_off() -> None:
    async with a_server(lasts_until_closed=False) as port:
        assert connection_failure(await error_of(port)) is Failure.CUT_OFF


async def test_an_answer_that_is_late_is_neither() -> None:
    async with a_server(lasts_until_closed=True) as port:
        assert connection_failure(await error_of(port, timeout=0.2)) is None


def test_a_time_out_of_aiohttp_is_neither() -> None:
    error = httpx.ConnectTimeout("late")
    error.__cause__ = ServerTimeoutError()
    assert connection_failure(error) is None
