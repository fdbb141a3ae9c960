"""A scripted WebSocket server for the simulator's media streams: each connection runs the script of the test."""

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from simulators import mu_law
from simulators.mu_law import FRAME_BYTES, SILENCE
from simulators.tone_speech import speak


def voice(seconds: float) -> bytes:
    """Returns audio of the agent without a silent frame."""
    return _long_voice()[: round(seconds * mu_law.RATE)]


@functools.cache
def _long_voice() -> bytes:
    return b"".join(map(mu_law.encode, speak("a" * 400, "agent", mu_law.RATE)))


@dataclass
class Stream:
    """One connection. `messages` are all messages received so far."""

    socket: web.WebSocketResponse
    url: str
    has_valid_signature: bool
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sid(self) -> str:
        return str(self.events("start")[0]["streamSid"])

    def events(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]

    @property
    def audio(self) -> bytes:
        return b"".join(base64.b64decode(message["media"]["payload"]) for message in self.events("media"))

    async def receive(self) -> dict[str, Any] | None:
        """Returns the next message, or None after the end of the connection."""
        message = await self.socket.receive()
        if message.type is not WSMsgType.TEXT:
            return None
        self.messages.append(json.loads(message.data))
        return self.messages[-1]

    async def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """Receives until so many messages of this kind have arrived; returns the last of them."""
        while len(self.events(event)) < count:
            assert await self.receive() is not None, f"connection ended before {count} {event}"
        return self.events(event)[count - 1]

    async def receive_all(self) -> None:
        """Receives until the connection ends."""
        while await self.receive() is not None:
            pass

    async def send(self, event: str, **fields: object) -> None:
        await self.socket.send_json({"event": event, "streamSid": self.sid} | fields)

    async def play(self, audio: bytes) -> None:
        await self.send("media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.send("mark", mark={"name": name})

    async def wait_for_silence(self, frames: int = 40) -> None:
        """Receives until the callee has spoken and then been silent for so many frames."""
        heard = len(self.audio)
        while True:
            assert await self.receive() is not None, "connection ended"
            new = self.audio[heard:]
            if new.strip(b"\xff") and new.endswith(SILENCE * frames):
                return


Script = Callable[[Stream], Awaitable[None]]


@dataclass
class MediaServer:
    """`scripts` run in the order of the connections; the last one repeats. A script that returns closes with 1000."""

    url: str = ""
    auth_token: str = ""
    refusals: int = 0
    scripts: list[Script] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        url = f"{self.url}{request.path}"
        signature = request.headers.get("X-Twilio-Signature", "")
        is_valid = RequestValidator(self.auth_token).compute_signature(url, {}) == signature
        stream = Stream(socket, url, is_valid)
        self.streams.append(stream)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            while not stream.events("start") and await stream.receive() is not None:
                pass
            if stream.events("start"):
                await script(stream)
        except AssertionError as error:
            self.failures.append(error)
        await socket.close()
        return socket

    def twiml(self, *parameters: str, attributes: str = "", path: str = "/media/stream/1") -> str:
        nested = "".join(f'<Parameter name="{name}" value="{name}-value"/>' for name in parameters)
        return f'<Connect {attributes}><Stream url="{self.url}{path}">{nested}</Stream></Connect>'


@asynccontextmanager
async def serving_media(auth_token: str, *scripts: Script) -> AsyncIterator[MediaServer]:
    server = MediaServer(auth_token=auth_token, scripts=list(scripts))
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        server.url = f"ws://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()
    assert server.failures == []


def frames_of(audio: bytes) -> list[bytes]:
    return [audio[start : start + FRAME_BYTES] for start in range(0, len(audio), FRAME_BYTES)]


async def leave_unread(stream: Stream) -> None:
    """A script that does not read until the connection has ended."""
    await asyncio.sleep(3600)
