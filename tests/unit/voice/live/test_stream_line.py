"""A provider that does not read, or that sends nothing."""

import asyncio
import json
from typing import cast

import pytest
from aiohttp import WSMessage, WSMsgType
from tests.fakes.virtual_time import run_in_virtual_time

from contracts import MediaClosedReason
from voice.application.live.live_call import LiveCall
from voice.entrypoints.direct_socket import DirectSocket
from voice.entrypoints.stream_socket import (
    MAX_SILENT_SECONDS,
    MAX_STALL_SECONDS,
    AudioPeer,
    SocketClosed,
    SocketLine,
)


class Socket:
    """Sends nothing while it is stalled."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.sent: list[str] = []
        self.messages = 0
        """How many messages arrive, one each 20 ms."""

    async def receive(self) -> WSMessage:
        if not self.messages:
            await asyncio.get_running_loop().create_future()
        self.messages -= 1
        await asyncio.sleep(0.02)
        return WSMessage(WSMsgType.TEXT, json.dumps({"event": "connected"}), None)

    def write_now(self, message: str) -> bool:
        return False

    async def send_str(self, message: str) -> None:
        await self.reads.wait()
        self.sent.append(json.loads(message)["event"])


def no_call(*_: object) -> LiveCall:
    raise AssertionError("no stream has begun")


def test_audio_that_waits_for_a_second_is_dropped_and_cleared() -> None:
    async def main() -> list[str]:
        socket = Socket()
        line = SocketLine(cast("DirectSocket", socket), "MZ1")
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
        line = SocketLine(cast("DirectSocket", Socket()), "MZ1")
        line.send_audio(b"\xff" * 800)
        with pytest.raises(SocketClosed) as closed:
            await line.write()
        assert (closed.value.code, closed.value.reason) == (1011, MediaClosedReason.MALFORMED)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == MAX_STALL_SECONDS


def test_a_provider_that_sends_nothing_any_more_loses_its_socket() -> None:
    async def main() -> float:
        socket = Socket()
        socket.messages = 3_000
        peer = AudioPeer(cast("DirectSocket", socket), no_call)
        starting = asyncio.create_task(peer.start())
        with pytest.raises(SocketClosed) as closed:
            await peer.watch()
        assert (closed.value.code, closed.value.reason) == (1011, MediaClosedReason.DROPPED)
        starting.cancel()
        return asyncio.get_running_loop().time()

    assert 60 < run_in_virtual_time(main()) <= 60 + 2 * MAX_SILENT_SECONDS
