"""``python -m bench.live.sockets``: the CPU of one frame in a process that only reads and decodes frames.

25 streams at real time over loopback, with aiohttp's queue of messages and past it (`voice.entrypoints.direct_socket`),
in turns. Each server is a process of its own, whose CPU time is read from ``/proc``.
"""

import asyncio
import base64
import json
import os
import sys
from itertools import count
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import WSMsgType, web

from voice.domain.live import media_stream
from voice.domain.live.media_stream import FRAME_BYTES, FRAME_SECONDS
from voice.entrypoints.direct_socket import DirectSocket

_STREAMS, _SECONDS, _ROUNDS = 25, 8.0, 3
_NAMES = {"queue": "by aiohttp's queue", "direct": "past aiohttp's queue"}
_PAYLOAD = base64.b64encode(bytes([0xFF, 0x7F] * (FRAME_BYTES // 2))).decode()


async def serve(kind: str) -> None:
    """Reads and decodes frames until it is killed. Prints its port."""

    async def accept(request: web.Request) -> web.StreamResponse:
        opened = DirectSocket(compress=False, max_msg_size=media_stream.MAX_MESSAGE_BYTES)
        await opened.prepare(request)
        if kind == "direct":
            with opened.taking_texts(lambda text: _ignore(media_stream.parse(text))):
                await opened.receive()
        else:
            while (message := await opened.receive()).type is WSMsgType.TEXT:
                media_stream.parse(message.data)
        return opened

    application = web.Application()
    application.router.add_get("/", accept)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def _ignore(_message: object) -> None: ...


async def microseconds(kind: str) -> float:
    """Returns the CPU time of one frame."""
    command = (sys.executable, "-m", "bench.live.sockets", kind)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    port, sent = int(await process.stdout.readline()), count()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            url = f"http://127.0.0.1:{port}/"
            tasks = [asyncio.create_task(_send(http, url, number, sent)) for number in range(_STREAMS)]
            await asyncio.sleep(2)
            before, first = _cpu_seconds(process.pid), next(sent)
            await asyncio.sleep(_SECONDS)
            used, frames = _cpu_seconds(process.pid) - before, next(sent) - first
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        process.kill()
        await process.wait()
    return used / frames * 1e6


async def _send(http: aiohttp.ClientSession, url: str, number: int, sent: "count[int]") -> None:
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(FRAME_SECONDS * number / _STREAMS)
    async with http.ws_connect(url, compress=0) as socket:
        media = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": _PAYLOAD}
        text = json.dumps({"event": "media", "sequenceNumber": "2", "streamSid": "MZ" + "0" * 32, "media": media})
        next_at = clock()
        while True:
            await socket.send_str(text)
            next(sent)
            next_at += FRAME_SECONDS
            await asyncio.sleep(max(0.0, next_at - clock()))


def _cpu_seconds(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


async def main() -> None:
    """Prints the figures."""
    found: dict[str, list[float]] = {kind: [] for kind in _NAMES}
    for _ in range(_ROUNDS):
        for kind, times in found.items():
            times.append(await microseconds(kind))
    for kind, times in found.items():
        print(f"a frame {_NAMES[kind]}: {min(times):.1f} µs; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]) if len(sys.argv) > 1 else main())
