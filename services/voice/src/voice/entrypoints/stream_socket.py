"""The socket of one media stream: messages to the provider and from it, and their limits.

Messages that cannot be used are counted and dropped, up to a limit. A peer that does not read loses the audio that
waits for it, and then the socket: what is behind by seconds is no conversation.
"""

import asyncio
from collections import deque

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from contracts import MediaClosedReason
from voice.application.live.live_call import LiveCall
from voice.domain.live import media_stream
from voice.domain.live.media_stream import (
    Connected,
    Frame,
    KeyPressed,
    MalformedCounter,
    MarkReturned,
    MediaMessage,
    Started,
    Stopped,
)
from voice.domain.live.vendor_messages import Malformed, MalformedReason
from voice.metrics import LIVE_MALFORMED

MAX_WAITING_SECONDS = 1.0
"""Audio that waits longer than this for a peer that does not read is dropped."""
MAX_STALL_SECONDS = 5.0
"""A peer that reads nothing for this long loses its socket."""

logger = structlog.get_logger()


class SocketClosed(Exception):
    """The socket must be closed with this code."""

    def __init__(self, code: int, reason: MediaClosedReason | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class SocketLine:
    """Implements `voice.ports.Line`: messages to the provider, which a task writes in their order."""

    def __init__(self, socket: web.WebSocketResponse, stream_id: str) -> None:
        self._socket = socket
        self._stream_id = stream_id
        self._waiting: deque[tuple[float, str, bool]] = deque()
        self._has_messages = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    def send_audio(self, audio: bytes) -> None:
        """See the interface."""
        self._put(media_stream.media(self._stream_id, audio), is_audio=True)
        if self._clock() - self._waiting[0][0] > MAX_WAITING_SECONDS:
            self.clear()

    def send_mark(self, name: str) -> None:
        """See the interface."""
        self._put(media_stream.mark(self._stream_id, name), is_audio=False)

    def clear(self) -> None:
        """See the interface."""
        self._waiting = deque(message for message in self._waiting if not message[2])
        self._put(media_stream.clear(self._stream_id), is_audio=False)

    async def write(self) -> None:
        """Writes messages until it is cancelled. Raises SocketClosed if the peer does not read, or is gone."""
        while True:
            await self._has_messages.wait()
            self._has_messages.clear()
            while self._waiting:
                _, message, _ = self._waiting.popleft()
                try:
                    async with asyncio.timeout(MAX_STALL_SECONDS):
                        await self._socket.send_str(message)
                except TimeoutError:
                    raise SocketClosed(WSCloseCode.INTERNAL_ERROR, MediaClosedReason.MALFORMED) from None
                except ConnectionError:
                    raise SocketClosed(WSCloseCode.ABNORMAL_CLOSURE, MediaClosedReason.DROPPED) from None

    def _put(self, message: str, *, is_audio: bool) -> None:
        self._waiting.append((self._clock(), message, is_audio))
        self._has_messages.set()


class SocketReader:
    """Reads the messages of one socket, and counts those that cannot be used."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._malformed = MalformedCounter()

    async def start(self) -> Started:
        """Returns the message that begins the stream; audio before it is dropped. Raises SocketClosed."""
        while True:
            message = await self._next()
            if isinstance(message, Started):
                return message
            if not isinstance(message, Connected):
                self._drop(message)

    async def read(self, call: LiveCall, stream_id: str) -> None:
        """Passes messages on to the call, until the provider ends the stream or the socket. Raises SocketClosed."""
        while True:
            message = await self._next()
            match message:
                case Started():
                    raise SocketClosed(WSCloseCode.POLICY_VIOLATION, MediaClosedReason.MALFORMED)
                case Frame() if message.stream_id == stream_id:
                    call.receive_audio(message.payload)
                case MarkReturned() if message.stream_id == stream_id:
                    call.receive_mark(message.name)
                case KeyPressed() if message.stream_id == stream_id:
                    call.receive_key(message.key)
                case Stopped() if message.stream_id == stream_id:
                    raise SocketClosed(WSCloseCode.OK, MediaClosedReason.HANG_UP)
                case _:
                    self._drop(message)

    async def _next(self) -> MediaMessage:
        """Returns the next message. Raises SocketClosed if there is none."""
        received = await self._socket.receive()
        if received.type is WSMsgType.TEXT:
            return media_stream.parse(received.data)
        if received.type is WSMsgType.BINARY:
            return Malformed(MalformedReason.BINARY)
        if isinstance(received.data, WebSocketError):  # too long, or not a WebSocket any more
            raise SocketClosed(received.data.code, MediaClosedReason.MALFORMED)
        raise SocketClosed(WSCloseCode.OK, MediaClosedReason.DROPPED)  # also a peer that answers no ping

    def _drop(self, message: MediaMessage) -> None:
        """Counts a message that cannot be used. Raises SocketClosed after too many."""
        LIVE_MALFORMED.inc()
        must_close = self._malformed.add(asyncio.get_running_loop().time())
        if self._malformed.total == 1:
            reason = message.reason.value if isinstance(message, Malformed) else type(message).__name__
            logger.warning("stream_message_dropped", reason=reason)
        if must_close:
            raise SocketClosed(WSCloseCode.UNSUPPORTED_DATA, MediaClosedReason.MALFORMED)
