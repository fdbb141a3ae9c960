"""A WebSocket whose texts are taken as they are read, and whose messages are written at once; over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
import structlog
import uvloop
from aiohttp import WSMsgType, web

from voice.entrypoints.direct_socket import SEND_BUFFER_BYTES, DirectSocket

Serve = Callable[[DirectSocket], Awaitable[None]]


class Refused(Exception):
    """What the owner of a socket raises about a text."""


@asynccontextmanager
async def connected(serve: Serve, *, heartbeat: float | None = None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A client of a server that passes its socket to `serve`, and closes it afterwards."""

    async def accept(request: web.Request) -> web.StreamResponse:
        opened = DirectSocket(
            compress=False, max_msg_size=1024, heartbeat=heartbeat, timeout=1.0, writer_limit=SEND_BUFFER_BYTES
        )
        await opened.prepare(request)
        await serve(opened)
        await opened.close()
        return opened

    application = web.Application()
    application.router.add_get("/", accept)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        await web.SockSite(runner, listener).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with asyncio.timeout(60), aiohttp.ClientSession() as http, http.ws_connect(url) as client:
            yield client
    finally:
        await runner.cleanup()


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    uvloop.run(main())


def test_texts_are_taken_in_order_also_behind_those_that_wait_in_the_queue() -> None:
    taken: list[str] = []

    async def serve(opened: DirectSocket) -> None:
        first = await opened.receive()
        taken.append(first.data)
        await asyncio.sleep(0.05)  # meanwhile, others arrive in the queue
        with opened.taking_texts(taken.append):
            while (received := await opened.receive()).type is not WSMsgType.CLOSE:
                taken.append(received.data if received.type is WSMsgType.TEXT else received.type.name)

    async def main() -> None:
        async with connected(serve) as client:
            for number in range(200):
                await client.send_str(str(number))
            await client.send_bytes(b"binary")
            for number in range(200, 400):
                await client.send_str(str(number))
            await client.close()

    run(main())
    assert [text for text in taken if text != "BINARY"] == [str(number) for number in range(400)]
    assert taken.count("BINARY") == 1


def test_an_error_about_a_text_ends_the_block_and_later_texts_are_not_taken() -> None:
    taken: list[str] = []
    ended: list[Exception] = []

    def take(text: str) -> None:
        taken.append(text)
        if text == "bad":
            raise Refused(text)

    async def serve(opened: DirectSocket) -> None:
        try:
            with opened.taking_texts(take):
                while True:
                    if (await opened.receive()).type is WSMsgType.ERROR:
                        raise ConnectionError
        except Refused as error:
            ended.append(error)

    async def main() -> None:
        async with connected(serve) as client:
            for text in ("good", "bad", "late", "later"):
                await client.send_str(text)
            assert (await client.receive()).type is WSMsgType.CLOSE

    run(main())
    assert taken == ["good", "bad"]
    assert [type(error) for error in ended] == [Refused]


def test_the_work_of_a_text_has_the_log_context_of_the_block() -> None:
    contexts: list[dict[str, object]] = []

    async def serve(opened: DirectSocket) -> None:
        with (
            structlog.contextvars.bound_contextvars(call_id="1"),
            opened.taking_texts(lambda _: contexts.append(structlog.contextvars.get_contextvars())),
        ):
            await opened.receive()

    async def main() -> None:
        async with connected(serve) as client:
            await client.send_str("text")
            await client.close()

    run(main())
    assert contexts == [{"call_id": "1"}]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\xfe\x10\x00" + bytes(4) + bytes(4096), 1009),  # longer than 1,024 bytes
        (b"\xc1\x81" + bytes(4) + b"x", 1002),  # a reserved bit
        (b"\x81\x82" + bytes(4) + b"\xff\xfe", 1007),  # no UTF-8
        (b"\x80\x81" + bytes(4) + b"x", 1002),  # the rest of no message
        (b"\x89\xfe\x00\x7e" + bytes(4) + bytes(126), 1002),  # a ping that is too long
    ],
)
def test_what_is_no_websocket_message_closes_the_socket_also_while_texts_are_taken(frame: bytes, code: int) -> None:
    taken: list[str] = []

    async def serve(opened: DirectSocket) -> None:
        with opened.taking_texts(taken.append):
            assert (await opened.receive()).type is WSMsgType.ERROR

    async def main() -> None:
        async with connected(serve) as client:
            await client.send_str("text")
            connection = client._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.write(frame)
            assert (await client.receive()).type is WSMsgType.CLOSE
            assert client.close_code == code

    run(main())
    assert taken == ["text"]


def test_a_peer_that_does_not_read_is_not_written_to_at_once_and_loses_nothing() -> None:
    sent, refused = 0, asyncio.Event()

    async def serve(opened: DirectSocket) -> None:
        nonlocal sent
        while opened.write_now("x" * 1000):
            sent += 1
        refused.set()
        with opened.taking_texts(lambda _: None):
            await opened.receive()

    async def main() -> None:
        nonlocal refused
        refused = asyncio.Event()
        async with connected(serve) as client:
            await refused.wait()
            for _ in range(sent):
                assert (await client.receive()).data == "x" * 1000
            await client.close()

    run(main())
    assert 0 < sent * 1000 < 64 * SEND_BUFFER_BYTES


def test_a_long_message_is_not_written_at_once() -> None:
    results: list[bool] = []

    async def serve(opened: DirectSocket) -> None:
        results.extend(opened.write_now(text) for text in ("x" * 8_192, "x" * 8_193, "é" * 2_049))

    async def main() -> None:
        async with connected(serve) as client:
            assert (await client.receive()).data == "x" * 8_192
            assert (await client.receive()).type is WSMsgType.CLOSE

    run(main())
    assert results == [True, False, False]


def test_a_message_to_a_peer_that_is_gone_is_not_written() -> None:
    results: list[bool] = []

    async def serve(opened: DirectSocket) -> None:
        await opened.receive()
        results.append(opened.write_now("late"))

    async def main() -> None:
        async with connected(serve) as client:
            await client.close()

    run(main())
    assert results == [False]


def test_a_peer_that_answers_no_ping_loses_its_socket_although_texts_are_taken() -> None:
    ended: list[WSMsgType] = []

    async def serve(opened: DirectSocket) -> None:
        with opened.taking_texts(lambda _: None):
            ended.append((await opened.receive()).type)

    async def main() -> None:
        async with connected(serve, heartbeat=0.2) as client:
            connection = client._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.pause_reading()  # no ping is seen, and no pong sent
            while not ended:
                await asyncio.sleep(0.05)

    run(main())
    assert ended == [WSMsgType.ERROR]
