"""The telephone provider's end of a media stream, and the server that accepts it, with fakes behind it."""

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
from tests.fakes.live import SILENCE, VOICE, FakeActivity, FakeSpeechStreams, FakeTranscriber, TextSynthesizer
from tests.fakes.voice import FakeClips
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.background import run_in_background
from chassis.event_log import EventLog, StoredEvent
from contracts import CallDecision, ConversationMode
from telephony.media import RELAY_PATH, STREAM_PATH, derive_media_key, sign, stream_path
from telephony.twilio_streams import StreamSignatures
from voice.application.live.call_record import CallRecord
from voice.application.live.live_call import LiveCall, Resources
from voice.application.live.live_calls import LiveCalls, StreamId
from voice.application.live.live_speech import LiveSpeech
from voice.application.live.relay_call import RelayCall
from voice.application.live.relay_speaking import RelayRecord
from voice.application.speech.synthesis import SpeechSynthesis
from voice.domain.audio_formats import MuLawCutter
from voice.domain.live.turn_policy import TurnPolicy
from voice.entrypoints.media_stream import MediaStreams, StreamKind
from voice.entrypoints.relay_socket import RelayPeer
from voice.entrypoints.stream_socket import AudioPeer
from voice.ports import CallEvents, Line, TextLine

TOKEN = "simulated-auth-token"
KEY = derive_media_key(TOKEN)
PUBLIC_URL = "wss://calls.example.com"
HEADER = "X-Twilio-Signature"


@dataclass
class Vendors:
    """The vendors of one call."""

    transcriber: FakeTranscriber = field(default_factory=FakeTranscriber)
    streams: FakeSpeechStreams = field(default_factory=FakeSpeechStreams)
    http: TextSynthesizer = field(default_factory=lambda: TextSynthesizer("http"))


@dataclass
class StreamServer:
    """The running server. `vendors` are those of the calls that it has conducted."""

    port: int
    calls: LiveCalls
    http: aiohttp.ClientSession
    vendors: dict[UUID, Vendors]
    accepting: MediaStreams | None = None

    def path(self, stream: StreamId) -> str:
        return stream_path(stream.call_id, stream.attempt, stream.generation)

    async def handshake(
        self, stream: StreamId, *, signature: str | None = None, path: str | None = None
    ) -> aiohttp.ClientWebSocketResponse:
        path = path or self.path(stream)
        if signature is None:
            signature = RequestValidator(TOKEN).compute_signature(PUBLIC_URL + path, {})
        url = f"ws://127.0.0.1:{self.port}{path}"
        return await self.http.ws_connect(url, headers={HEADER: signature}, max_msg_size=0)

    async def refusal(self, stream: StreamId, *, signature: str | None = None, path: str | None = None) -> int:
        """Returns the status with which the handshake is refused."""
        try:
            await self.handshake(stream, signature=signature, path=path)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        raise AssertionError("the handshake was accepted")

    @asynccontextmanager
    async def stream(self, stream: StreamId, *, token: str | None = None) -> AsyncIterator["StreamPeer"]:
        """A stream that has begun, whose callee is silent."""
        peer = StreamPeer(await self.handshake(stream), f"MZ{stream.call_id}-{stream.generation}")
        await peer.start(token or sign(KEY, self.path(stream)))
        async with peer.working(peer.read(), peer.send_frames()):
            yield peer


class SocketPeer:
    """The provider's end of a socket: messages of audio or of text."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def send_raw(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self.socket.send_str(message)
        else:
            await self.socket.send_bytes(message)

    async def close_code(self) -> int | None:
        """Waits until the socket is closed."""
        async with asyncio.timeout(60):
            return await self.closed

    @property
    def transport(self) -> asyncio.Transport:
        connection = self.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        return connection.transport

    @asynccontextmanager
    async def working(self, *works: Coroutine[None, None, None]) -> AsyncIterator[None]:
        """Reads and sends during the block, then closes the socket."""
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.socket.close()


class StreamPeer(SocketPeer):
    """Sends a frame each 20 ms, and returns marks when their audio has been played."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, stream_id: str) -> None:
        super().__init__(socket)
        self.stream_id = stream_id
        self.frame = SILENCE
        self.audio = bytearray()
        self.events: list[str] = []
        self.returns_marks = True
        self._plays_until = 0.0
        self._sending: set[asyncio.Task[None]] = set()
        self._frame_sent = asyncio.Event()

    async def send(self, event: str, **fields: object) -> None:
        await self.socket.send_str(json.dumps({"event": event, "streamSid": self.stream_id, **fields}))

    async def start(self, token: str) -> None:
        await self.socket.send_str(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        await self.send_start(token)

    async def send_start(self, token: str) -> None:
        start = {
            "accountSid": "AC0",
            "streamSid": self.stream_id,
            "callSid": "CA0",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": token},
        }
        await self.send("start", sequenceNumber="1", start=start)

    async def send_media(self, payload: bytes, *, stream_id: str | None = None) -> None:
        media = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": base64.b64encode(payload).decode()}
        fields = {"media": media} if stream_id is None else {"media": media, "streamSid": stream_id}
        await self.send("media", **fields)

    async def send_frames(self) -> None:
        clock = asyncio.get_running_loop().time
        next_at = clock()
        with contextlib.suppress(ConnectionError):
            while not self.closed.done():
                await self.send_media(self.frame)
                self._frame_sent.set()
                next_at += 0.02
                await asyncio.sleep(max(0.0, next_at - clock()))

    async def frame_sent(self) -> None:
        """Waits until the present frame has been sent."""
        self._frame_sent.clear()
        await self._frame_sent.wait()

    async def read(self) -> None:
        async for message in self.socket:
            received = json.loads(message.data)
            self.events.append(received["event"])
            now = asyncio.get_running_loop().time()
            if received["event"] == "media":
                audio = base64.b64decode(received["media"]["payload"])
                self.audio += audio
                self._plays_until = max(self._plays_until, now) + len(audio) / 8000
            elif received["event"] == "mark" and self.returns_marks:
                task = asyncio.create_task(self._return_mark(received["mark"]["name"], self._plays_until - now))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
        self.closed.set_result(self.socket.close_code)

    async def _return_mark(self, name: str, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
        with contextlib.suppress(ConnectionError):  # the server has closed the socket
            await self.send("mark", mark={"name": name})

    async def talk(self, transcriber: FakeTranscriber, text: str) -> None:
        """The callee says something that takes half a second."""
        self.frame = VOICE
        await asyncio.sleep(0.25)
        transcriber.hear(text)
        await asyncio.sleep(0.25)
        self.frame = SILENCE


@asynccontextmanager
async def stream_server(
    log: EventLog, events: CallEvents, *, max_calls: int = 10, listener: socket.socket | None = None
) -> AsyncIterator[StreamServer]:
    """Accepts media streams while the block runs, on a socket of its own or on `listener`."""
    live_calls = LiveCalls(log, max_calls=max_calls)
    vendors: dict[UUID, Vendors] = {}

    def conduct(stream: StreamId, state: StoredEvent[CallDecision], line: Line, stream_id: str) -> LiveCall:
        call, ours = state.event.call, vendors.setdefault(stream.call_id, Vendors())
        synthesis = SpeechSynthesis([ours.http], FakeClips(), log, cutter=MuLawCutter)
        speech = LiveSpeech(synthesis, ours.streams, language=call.language, voice=call.voice)
        resources = Resources(events, ours.transcriber, TurnPolicy())
        record = CallRecord(log, stream, state)
        return LiveCall(stream, stream_id, call, line, record, speech, FakeActivity(), resources)

    def conduct_relay(stream: StreamId, state: StoredEvent[CallDecision], line: TextLine, session_id: str) -> RelayCall:
        record = CallRecord(log, stream, state)
        speech = RelayRecord(SpeechSynthesis([], FakeClips(), log))
        return RelayCall(stream, session_id, state.event.call, line, record, speech, events, TurnPolicy())

    kinds = [
        StreamKind(ConversationMode.LIVE, STREAM_PATH, lambda opened: AudioPeer(opened, conduct), has_pings=False),
        StreamKind(ConversationMode.RELAY, RELAY_PATH, lambda opened: RelayPeer(opened, conduct_relay)),
    ]
    server = MediaStreams(live_calls, kinds, StreamSignatures(TOKEN, PUBLIC_URL), KEY, signature_header=HEADER)
    async with (
        run_in_background(live_calls.run()),
        server.serve(listener or socket.create_server(("127.0.0.1", 0))) as port,
        aiohttp.ClientSession() as http,
    ):
        yield StreamServer(port, live_calls, http, vendors, server)
