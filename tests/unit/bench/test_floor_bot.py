"""The floor of the benchmark: the limit of its speech socket is ours, and it counts the streams of one run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from bench.live.floor_bot import SPEECH_PATH, FloorBot

from voice.domain.live.speech_stream import MAX_INACTIVITY_SECONDS


@asynccontextmanager
async def listening(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def silent_vendor() -> web.Application:
    """Returns a vendor that accepts each socket and says nothing."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    return application


async def until_open(http: aiohttp.ClientSession, url: str, count: int) -> int:
    """Waits until so many streams are open, and returns how many have ended."""
    while True:
        async with http.get(f"{url}/calls") as answer:
            if (counts := await answer.json())["open"] == count:
                return int(counts["ended"])
        await asyncio.sleep(0.01)


def test_a_pause_between_two_replies_does_not_end_the_speech_socket() -> None:
    query = parse_qs(urlsplit(SPEECH_PATH).query)
    assert query["inactivity_timeout"] == [str(MAX_INACTIVITY_SECONDS)], "as that of voice: with 20 s, calls ended"


@pytest.mark.timeout(120)
async def test_a_stream_of_the_run_before_does_not_count_as_one_that_has_ended() -> None:
    async with listening(silent_vendor()) as vendor, aiohttp.ClientSession() as http:
        bot = FloorBot(http, vendor, f"{vendor}/v1")
        async with listening(bot.application()) as url:
            earlier = await http.ws_connect(f"{url}/stream")
            await until_open(http, url, 1)
            (await http.delete(f"{url}/calls")).close()
            later = await http.ws_connect(f"{url}/stream")
            await until_open(http, url, 2)
            await earlier.close()
            assert await until_open(http, url, 1) == 0
            await later.close()
            assert await until_open(http, url, 0) == 1
