"""The socket of one media stream: messages to the provider and from it, and their limits. `AudioPeer` is for audio.

Messages that cannot be used are counted and dropped, up to a limit. A peer that does not read loses the audio that
waits for it, and then the socket: what is behind by seconds is no conversation.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType

from chassis.event_log import StoredEvent
from contracts import CallDecision, MediaClosedReason
from telephony.media import TOKEN
from voice.application.live.live_call import LiveCall
from voice.application.live.live_calls import StreamId
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
from voice.entrypoints.direct_socket import DirectSocket
from voice.metrics import LIVE_MALFORMED
from voice.ports import Line

MAX_WAITING_SECONDS = 1.0
"""Audio that waits longer than this for a peer that does not read is dropped."""
MAX_STALL_SECONDS = 5.0
"""A peer that reads nothing for this long loses its socket."""
MAX_SILENT_SECONDS = 20.0
"""A peer that sends nothing for this long loses its socket, after twice as long at most: audio has no pauses."""

M = TypeVar("M")
Conduct = Callable[[StreamId, StoredEvent[CallDecision], Line, str], LiveCall]
"""Returns the conversation of a stream: its id, the state of its call, its line, and the provider's id of it."""

logger = structlog.get_logger()


class SocketClosed(Exception):
    """The socket must be closed with this code."""

    def __init__(self, code: int, reason: MediaClosedReason | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class MessageWriter:
    """Messages to the provider, in their order: written at once, or by a task if the provider does not read."""

    def __init__(self, socket: DirectSocket) -> None:
        self._socket = socket
        self._waiting: deque[tuple[float, str, bool]] = deque()
        self._has_messages = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

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
        if not self._waiting and self._socket.write_now(message):
            return
        self._waiting.append((self._clock(), message, is_audio))
        self._has_messages.set()


class SocketLine(MessageWriter):
    """Implements `voice.ports.Line`."""

    def __init__(self, socket: DirectSocket, stream_id: str) -> None:
        super().__init__(socket)
        self._stream_id = stream_id

    def send_audio(self, audio: bytes) -> None:
        """See the interface."""
        self._put(media_stream.media(self._stream_id, audio), is_audio=True)
        if self._waiting and self._clock() - self._waiting[0][0] > MAX_WAITING_SECONDS:
            self.clear()

    def send_mark(self, name: str) -> None:
        """See the interface."""
        self._put(media_stream.mark(self._stream_id, name), is_audio=False)

    def clear(self) -> None:
        """See the interface."""
        self._waiting = deque(message for message in self._waiting if not message[2])
        self._put(media_stream.clear(self._stream_id), is_audio=False)


class MessageReader(Generic[M]):
    """Reads the messages of one socket, and counts those that cannot be used.

    `closed_reason`: why the stream has ended if the provider closes the socket as it should be closed.
    """

    def __init__(
        self,
        socket: DirectSocket,
        parse: Callable[[str], M],
        closed_reason: MediaClosedReason = MediaClosedReason.DROPPED,
    ) -> None:
        self._socket = socket
        self._parse = parse
        self._closed_reason = closed_reason
        self._malformed = MalformedCounter()
        self.received = 0
        """How many messages were received."""

    def parse(self, text: str) -> M:
        """Returns a message that was received."""
        self.received += 1
        return self._parse(text)

    async def next(self) -> M | Malformed:
        """Returns the next message. Raises SocketClosed if there is none."""
        received = await self._socket.receive()
        if received.type is WSMsgType.TEXT:
            return self.parse(received.data)
        self.received += 1
        if received.type is WSMsgType.BINARY:
            return Malformed(MalformedReason.BINARY)
        if isinstance(received.data, WebSocketError):  # too long, or not a WebSocket any more
            raise SocketClosed(received.data.code, MediaClosedReason.MALFORMED)
        if received.type is WSMsgType.CLOSE:
            raise SocketClosed(WSCloseCode.OK, self._closed_reason)
        raise SocketClosed(WSCloseCode.OK, MediaClosedReason.DROPPED)  # also a peer that answers no ping

    def drop(self, message: M | Malformed) -> None:
        """Counts a message that cannot be used. Raises SocketClosed after too many."""
        LIVE_MALFORMED.inc()
        must_close = self._malformed.add(asyncio.get_running_loop().time())
        if self._malformed.total == 1:
            reason = message.reason.value if isinstance(message, Malformed) else type(message).__name__
            logger.warning("stream_message_dropped", reason=reason)
        if must_close:
            raise SocketClosed(WSCloseCode.UNSUPPORTED_DATA, MediaClosedReason.MALFORMED)


class AudioPeer:
    """The provider's end of one stream of audio (`media_stream.Peer`)."""

    def __init__(self, socket: DirectSocket, conduct: Conduct) -> None:
        self._socket = socket
        self._conduct = conduct
        self._messages = MessageReader[MediaMessage](socket, media_stream.parse)

    async def start(self) -> str:
        """See the interface. Audio before `start` is dropped."""
        while True:
            message = await self._messages.next()
            if isinstance(message, Started):
                self._stream_id = message.stream_id
                return message.parameters.get(TOKEN, "")
            if not isinstance(message, Connected):
                self._messages.drop(message)

    def conduct(self, stream: StreamId, state: StoredEvent[CallDecision]) -> LiveCall:
        """See the interface."""
        self._line = SocketLine(self._socket, self._stream_id)
        self._call = self._conduct(stream, state, self._line, self._stream_id)
        return self._call

    async def read(self) -> None:
        """See the interface. Texts are most of the messages, and are taken as they are read."""
        with self._socket.taking_texts(self._take_text):
            while True:
                self._take(await self._messages.next())

    def _take_text(self, text: str) -> None:
        self._take(self._messages.parse(text))

    def _take(self, message: MediaMessage) -> None:
        """Passes a message on. Raises SocketClosed."""
        call, stream_id = self._call, self._stream_id
        match message:
            case Frame() if message.stream_id == stream_id:  # most of the messages
                call.receive_audio(message.payload)
            case Started():
                raise SocketClosed(WSCloseCode.POLICY_VIOLATION, MediaClosedReason.MALFORMED)
            case MarkReturned() if message.stream_id == stream_id:
                call.receive_mark(message.name)
            case KeyPressed() if message.stream_id == stream_id:
                call.receive_key(message.key)
            case Stopped() if message.stream_id == stream_id:
                raise SocketClosed(WSCloseCode.OK, MediaClosedReason.HANG_UP)
            case _:
                self._messages.drop(message)

    async def write(self) -> None:
        """See the interface."""
        await self._line.write()

    async def watch(self) -> None:
        """See the interface. The provider sends audio also in silence."""
        received = -1
        while received < self._messages.received:
            received = self._messages.received
            await asyncio.sleep(MAX_SILENT_SECONDS)
        logger.warning("stream_silent")
        raise SocketClosed(WSCloseCode.INTERNAL_ERROR, MediaClosedReason.DROPPED)

    async def say_end(self, reason: MediaClosedReason) -> None:
        """See the interface. The end of the socket says it."""
