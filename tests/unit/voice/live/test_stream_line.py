"""What is sent to a provider that does not read."""

import asyncio
import json
from typing import cast

import pytest
from aiohttp import web
from tests.fakes.virtual_time import run_in_virtual_time

from contracts import MediaClosedReason
from voice.entrypoints.stream_socket import MAX_STALL_SECONDS, SocketClosed, SocketLine


class Socket:
    """Sends nothing while it is stalled."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.sent: list[str] = []

    async def send_str(self, message: str) -> None:
        await self.reads.wait()
        self.sent.append(json.loads(message)["event"])


def test_audio_that_waits_for_a_second_is_dropped_and_cleared() -> None:
    async def main() -> list[str]:
        socket = Socket()
        line = SocketLine(cast("web.WebSocketResponse", socket), "MZ1")
        writing = asyncio.create_task(line.write())
        for _ in range(20):
            line.send_audio(b"\xff" * 800)
            await asyncio.sleep(0.1)
        line.send_mark("1.0")
        socket.reads.set()
        await asyncio.sleep(0.1)
        writing.cancel()
        return socket.sent

    sent = run_in_virtual_time(main())
    assert "clear" in sent
    assert sent.count("media") < 20
    assert sent[-1] == "mark"


def test_a_provider_that_reads_nothing_loses_its_socket() -> None:
    async def main() -> float:
        line = SocketLine(cast("web.WebSocketResponse", Socket()), "MZ1")
        line.send_audio(b"\xff" * 800)
        with pytest.raises(SocketClosed) as closed:
            await line.write()
        assert (closed.value.code, closed.value.reason) == (1011, MediaClosedReason.MALFORMED)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == MAX_STALL_SECONDS
