"""A served ElevenLabs simulator and plain WebSocket clients for it."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulators.elevenlabs import create_app
from simulators.elevenlabs.usage import Usage
from simulators.faults import FaultPlan
from simulators.serving import serving
from simulators.spoken_words import SpokenWords

HEADERS = {"xi-api-key": "fictional"}
SPEECH = "/v1/text-to-speech/Rachel/multi-stream-input"
TRANSCRIPTION = "/v1/speech-to-text/realtime"


@dataclass
class Socket:
    """A client's end of one WebSocket."""

    websocket: aiohttp.ClientWebSocketResponse

    async def send(self, **message: Any) -> None:
        await self.websocket.send_json(message)

    async def send_audio(self, audio: bytes, *, commit: bool = False, **fields: Any) -> None:
        """Sends an `input_audio_chunk` of mu-law."""
        chunk = {
            "message_type": "input_audio_chunk",
            "audio_base_64": base64.b64encode(audio).decode(),
            "commit": commit,
            "sample_rate": 8000,
        }
        await self.send(**chunk | fields)

    async def receive(self) -> dict[str, Any]:
        """Returns the next message. Raises AssertionError at the end of the socket."""
        async with asyncio.timeout(60):
            message = await self.websocket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        answer = message.json()
        assert isinstance(answer, dict)
        return answer

    async def receive_until(self, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Returns the messages up to the first one for which `is_last` holds."""
        messages = [await self.receive()]
        while not is_last(messages[-1]):
            messages.append(await self.receive())
        return messages

    async def closed(self) -> int | None:
        """Returns the close code of the vendor, who sends nothing before it."""
        async with asyncio.timeout(60):
            message = await self.websocket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR), message
        return self.websocket.close_code


@dataclass
class Vendor:
    """The served simulator."""

    origin: str
    session: aiohttp.ClientSession
    usage: Usage
    words: SpokenWords
    faults: FaultPlan

    @contextlib.asynccontextmanager
    async def connect(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> AsyncIterator[Socket]:
        headers = HEADERS if headers is None else headers
        async with self.session.ws_connect(f"{self.origin}{path}", headers=headers, params=query) as websocket:
            yield Socket(websocket)

    @contextlib.asynccontextmanager
    async def speech(self, **query: Any) -> AsyncIterator[Socket]:
        """Connects to `multi-stream-input` with telephone audio."""
        query = {"model_id": "eleven_flash_v2_5", "output_format": "ulaw_8000", **query}
        async with self.connect(SPEECH, **query) as socket:
            yield socket

    @contextlib.asynccontextmanager
    async def transcription(self, **query: Any) -> AsyncIterator[Socket]:
        """Connects to realtime transcription with telephone audio, and receives `session_started`."""
        query = {"model_id": "scribe_v2_realtime", "audio_format": "ulaw_8000", **query}
        async with self.connect(TRANSCRIPTION, **query) as socket:
            assert (await socket.receive())["message_type"] == "session_started"
            yield socket

    async def wait_until_idle(self) -> None:
        """Returns when no socket and no context is open any more."""
        async with asyncio.timeout(60):
            while self.usage.transcription_sessions_open or self.usage.speech_sockets_open or self.usage.contexts_open:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def elevenlabs(**settings: Any) -> AsyncIterator[Vendor]:
    """Serves the simulator, fifty times faster than real time, behind a fault plan without rules."""
    words, faults = SpokenWords(), FaultPlan(1)
    app = create_app(**{"speed": 50.0, "words": words, **settings})
    async with (
        serving(faults.middleware("elevenlabs", app), "127.0.0.1") as origin,
        aiohttp.ClientSession() as session,
    ):
        yield Vendor(origin, session, app.state.usage, words, faults)
