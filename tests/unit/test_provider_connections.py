"""aiohttp's errors keep their meaning behind the transport for httpx, which names every lost connection a time-out."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import aiohttp.connector
import httpx
import pytest
from aiohttp import ServerTimeoutError
from httpx_aiohttp import HttpxAiohttpClient
from tests.fakes.providers import provider

from conversation.adapters.openai import openai_model
from conversation.domain.messages import CalleeMessage
from providers import Failure
from providers.connections import KEEPALIVE_SECONDS, connection_failure
from voice.adapters import elevenlabs


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


@asynccontextmanager
async def a_counting_server() -> AsyncIterator[tuple[str, list[int]]]:
    """Answers every request as OpenAI does, and keeps connections; yields its URL and the requests per connection."""
    body = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    requests: list[int] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(0)
        connection = len(requests) - 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                requests[connection] += 1
                writer.write(answer)
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


@asynccontextmanager
async def asking_openai(url: str) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    async with openai_model("sk-fictional", "m", provider("openai"), base_url=url) as model:

        async def ask() -> None:
            deadline_at = asyncio.get_running_loop().time() + 60
            async for _ in model.answer([CalleeMessage("Hola")], (), first_by=deadline_at, deadline_at=deadline_at):
                pass

        yield ask


@asynccontextmanager
async def asking_elevenlabs(url: str) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    async with elevenlabs.connect(api_key="fictional", base_url=url) as client:

        async def ask() -> None:
            async for _ in client.text_to_speech.stream("voice", text="Hola"):
                pass

        yield ask


@pytest.mark.parametrize("asking", [asking_openai, asking_elevenlabs])
@pytest.mark.parametrize(("idle_seconds", "expected"), [(KEEPALIVE_SECONDS - 1, [2]), (KEEPALIVE_SECONDS + 1, [1, 1])])
async def test_a_connection_to_a_vendor_is_used_by_the_next_turn(
    asking: Callable[[str], AbstractAsyncContextManager[Callable[[], Awaitable[object]]]],
    idle_seconds: float,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(aiohttp.connector, "monotonic", lambda: now)
    async with a_counting_server() as (url, requests), asking(url) as ask:
        await ask()
        now += idle_seconds
        await ask()
    assert requests == expected


async def test_a_model_that_was_warmed_up_has_a_connection_for_the_first_request() -> None:
    async with (
        a_counting_server() as (url, requests),
        openai_model("sk-fictional", "m", provider("openai"), base_url=url) as model,
    ):
        await model.warm_up()
        await model.warm_up()
        assert requests == [1], "one was enough"
        deadline_at = asyncio.get_running_loop().time() + 60
        async for _ in model.answer([CalleeMessage("Hola")], (), first_by=deadline_at, deadline_at=deadline_at):
            pass
        await model.warm_up()
    assert requests == [2]


async def test_a_model_that_cannot_be_warmed_up_fails_at_its_first_request_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = provider("openai")
    async with openai_model("sk-fictional", "m", refused, base_url=f"http://127.0.0.1:{port}") as model:
        await model.warm_up()
    assert refused.breaker.may_begin
