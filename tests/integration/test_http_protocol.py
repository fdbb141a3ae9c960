"""What the services' HTTP protocol accepts before the application reads a body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from chassis.http_protocol import MAX_HEAD_BYTES, MAX_PIPELINED, LimitedHttpProtocol

START = b"POST /a HTTP/1.1\r\nHost: h\r\n"
PART = b"a" * 4096
MAX_PARTS = 200


async def count_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of bytes in the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def server() -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(
        count_body, http=LimitedHttpProtocol, ws="none", port=0, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return int(server.servers[0].sockets[0].getsockname()[1])


async def send_without_end(port: int, start: bytes, part: bytes) -> tuple[bytes, int]:
    """Sends `part` again and again until the server answers. Returns its status line and the bytes that were sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)
    sent, answer = 0, asyncio.ensure_future(reader.readline())
    while not answer.done() and sent < MAX_PARTS * len(part):
        writer.write(part)
        sent += len(part)
        await writer.drain()
        await asyncio.wait({answer}, timeout=0.02)
    writer.close()
    assert answer.done(), "the server reads on"
    return await answer, sent


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"POST /", PART),
        (START + b"x-long: ", PART),
        (START, b"x-field: " + PART + b"\r\n"),
        (START + b"Transfer-Encoding: chunked\r\n\r\n5;", PART),
        (START + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx-trailer: ", PART),
    ],
    ids=["target", "header", "headers", "chunk extension", "trailer"],
)
async def test_a_head_that_never_ends_is_refused_at_its_limit(port: int, start: bytes, part: bytes) -> None:
    status, sent = await send_without_end(port, start, part)
    assert status == b"HTTP/1.1 400 Bad Request\r\n"
    assert sent <= MAX_HEAD_BYTES + 8 * len(part)


async def test_bodies_are_not_limited_and_a_connection_serves_several_requests(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chunk = b"%x\r\n" % len(PART) + PART + b"\r\n"
    chunked = START + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 50 + b"0\r\n\r\n"
    whole = START + b"Content-Length: %d\r\n\r\n" % (50 * len(PART)) + PART * 50
    for request in (chunked, whole, whole, chunked, whole + chunked):
        writer.write(request)
        for _ in range(request.count(START)):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(6) == b"%d" % (50 * len(PART))
    writer.close()


async def test_few_requests_wait_for_the_answer_to_an_earlier_one(server: uvicorn.Server, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(START + b"Content-Length: 1\r\n\r\na" + (START + b"Content-Length: 0\r\n\r\n") * 5_000)
    with suppress(ConnectionError):  # the server does not read the rest
        await reader.read()
    writer.close()
    assert server.server_state.total_requests <= 1 + MAX_PIPELINED


async def test_requests_that_were_sent_together_are_answered_in_their_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies = [b"a" * size for size in range(1 + MAX_PIPELINED)]
    writer.write(b"".join(START + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies))
    for body in bodies:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(len(str(len(body)))) == b"%d" % len(body)
    writer.close()
