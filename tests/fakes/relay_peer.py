"""The telephone provider's end of a stream of text (ConversationRelay)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from tests.fakes.stream_peer import KEY, SocketPeer, StreamServer

from telephony.media import relay_path, sign
from voice.application.live.live_calls import StreamId

SECONDS_PER_WORD = 0.02


def path_of(stream: StreamId) -> str:
    return relay_path(stream.call_id, stream.attempt, stream.generation)


class RelayPeer(SocketPeer):
    """Speaks what it is given, fast, and reports each word. It closes the socket at `end`, as Twilio does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str) -> None:
        super().__init__(socket)
        self.session_id = session_id
        self.received: list[dict[str, object]] = []
        self.spoken: list[str] = []
        self.handoff: dict[str, str] | None = None
        self._words: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send_str(json.dumps({"type": kind, **fields}))

    async def set_up(self, token: str) -> None:
        await self.send(
            "setup",
            sessionId=self.session_id,
            accountSid="AC0",
            callSid="CA0",
            direction="outbound-api",
            callStatus="IN-PROGRESS",
            customParameters={"token": token},
        )

    async def say(self, text: str) -> None:
        """The callee says something."""
        await self.send("info", name="clientSpeaking", value="on")
        await self.send("info", name="clientSpeaking", value="off")
        await self.send("prompt", voicePrompt=text, lang="en-US", last=True)

    async def read(self) -> None:
        async for message in self.socket:
            received = json.loads(message.data)
            self.received.append(received)
            if received["type"] == "text":
                for word in received["token"].split():
                    self._words.put_nowait(word)
            elif received["type"] == "end":
                self.handoff = json.loads(received["handoffData"])
                await self.socket.close()
        self.closed.set_result(self.socket.close_code)

    async def speak(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                word = await self._words.get()
                await asyncio.sleep(SECONDS_PER_WORD)
                self.spoken.append(word)
                await self.send("info", name="tokensPlayed", value=word)


@asynccontextmanager
async def relay_stream(server: StreamServer, stream: StreamId, *, token: str | None = None) -> AsyncIterator[RelayPeer]:
    """A stream of text that has begun, whose callee is silent."""
    path = path_of(stream)
    peer = RelayPeer(await server.handshake(stream, path=path), f"VX{stream.call_id}-{stream.generation}")
    await peer.set_up(token or sign(KEY, path))
    async with peer.working(peer.read(), peer.speak()):
        yield peer
