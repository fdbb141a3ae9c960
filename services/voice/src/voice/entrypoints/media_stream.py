"""The WebSockets of media streams. No module outside this package knows aiohttp's server.

``GET /media/stream/{call_id}/{attempt}/{generation}`` for audio and ``/media/relay/…`` for text, signed by the
telephone provider. Both have the same admission and limits. Before a stream begins:

- A handshake that is not signed gets 403 before anything is read. An unknown call gets 404, a line that is not open
  403, and a process without room 503: the provider then asks edge for the next instruction, and edge answers from the
  log.
- The message that begins it, with the token of the path, must arrive within `START_SECONDS`, or the socket is closed.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from aiohttp import WSCloseCode, web

from chassis.background import cancel_until_done
from chassis.event_log import StoredEvent
from contracts import CallDecision, ConversationMode, MediaClosedReason
from telephony.media import verify
from voice.application.live.live_calls import LiveCalls, StreamId, StreamRefused
from voice.application.live.streamed_call import StreamedCall
from voice.domain.live.media_stream import MAX_MESSAGE_BYTES
from voice.entrypoints.direct_socket import SEND_BUFFER_BYTES, DirectSocket
from voice.entrypoints.stream_socket import SocketClosed

START_SECONDS = 5.0
PING_SECONDS = 20.0
CLOSE_SECONDS = 2.0

_PATTERNS = {"uuid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "number": "[0-9]{1,9}"}
_CODES = {
    MediaClosedReason.TRANSCRIPTION: WSCloseCode.INTERNAL_ERROR,
    MediaClosedReason.SYNTHESIS: WSCloseCode.INTERNAL_ERROR,
    MediaClosedReason.MALFORMED: WSCloseCode.INTERNAL_ERROR,
}
"""The close code by the reason; otherwise the stream ends well. So does a drained one: 1001 would be an error there."""

logger = structlog.get_logger()


class Signatures(Protocol):
    """The provider's signatures of handshakes."""

    def is_authentic(self, path: str, signature: str) -> bool:
        """Whether the provider signed the handshake for this path."""
        ...


class Peer(Protocol):
    """The provider's end of one stream. `start` comes first, then `conduct`; then `read`, `write` and `watch` run."""

    async def start(self) -> str:
        """Waits for the message that begins the stream, and returns its token. Raises SocketClosed."""
        ...

    def conduct(self, stream: StreamId, state: StoredEvent[CallDecision]) -> StreamedCall:
        """Returns the conversation of the stream. `state` is that of its call."""
        ...

    async def read(self) -> None:
        """Passes messages on to the conversation, until the provider ends the stream or the socket.

        Raises SocketClosed.
        """
        ...

    async def write(self) -> None:
        """Writes messages until it is cancelled. Raises SocketClosed."""
        ...

    async def watch(self) -> None:
        """Waits while the provider is there, as far as pings do not find that out. Raises SocketClosed."""
        ...

    async def say_end(self, reason: MediaClosedReason) -> None:
        """Tells the provider that the stream ends, before the socket is closed. Raises ConnectionError."""
        ...


@dataclass(frozen=True, slots=True)
class StreamKind:
    """The streams below one path, in Starlette's notation: those of calls of one mode."""

    mode: ConversationMode
    path: str
    connect: Callable[[DirectSocket], Peer]
    has_pings: bool = True
    """Whether we ping the provider. aiohttp renews the timer of pings at each message, which costs 5 µs."""


class MediaStreams:
    """Accepts the media streams of one process. `key` signs the tokens of their paths.

    `signature_header`: the header of a handshake that has the provider's signature.
    """

    def __init__(
        self,
        calls: LiveCalls,
        kinds: Sequence[StreamKind],
        signatures: Signatures,
        key: bytes,
        *,
        signature_header: str,
    ) -> None:
        self._calls = calls
        self._kinds = kinds
        self._signatures = signatures
        self._signature_header = signature_header
        self._key = key
        self._site: web.SockSite | None = None

    @asynccontextmanager
    async def serve(self, listener: socket.socket) -> AsyncIterator[int]:
        """Accepts streams while the block runs, and yields the port. The calls have been drained before its end."""
        application = web.Application()
        for kind in self._kinds:
            application.router.add_get(_route(kind.path), partial(self._accept, kind))
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            self._site = web.SockSite(runner, listener)
            await self._site.start()
            yield listener.getsockname()[1]
        finally:
            self._site = None
            await runner.cleanup()

    async def stop_accepting(self) -> None:
        """Closes the listening socket. Streams go on; replicas that share the socket accept what is new."""
        if (site := self._site) is not None:
            self._site = None
            await site.stop()

    async def _accept(self, kind: StreamKind, request: web.Request) -> web.StreamResponse:
        if not self._signatures.is_authentic(request.path, request.headers.get(self._signature_header, "")):
            return web.Response(status=403, text="the handshake is not signed by the telephone provider")
        parts = request.match_info
        stream = StreamId(UUID(parts["call_id"]), int(parts["attempt"]), int(parts["generation"]))
        with structlog.contextvars.bound_contextvars(call_id=str(stream.call_id)):
            try:
                state = await self._calls.open(stream, kind.mode)
            except StreamRefused as refused:
                logger.warning("stream_refused", reason=str(refused))
                return web.Response(status=refused.status, text=str(refused))
            return await self._upgrade(kind, request, stream, state)

    async def _upgrade(
        self, kind: StreamKind, request: web.Request, stream: StreamId, state: StoredEvent[CallDecision]
    ) -> web.StreamResponse:
        stream_socket = DirectSocket(
            compress=False,
            max_msg_size=MAX_MESSAGE_BYTES,
            heartbeat=PING_SECONDS if kind.has_pings else None,
            timeout=CLOSE_SECONDS,
            writer_limit=SEND_BUFFER_BYTES,
        )
        await stream_socket.prepare(request)
        try:
            with self._calls.accepted(stream, kind.mode):
                code = await self._hold(kind.connect(stream_socket), request.path, stream, state)
        except StreamRefused as refused:
            logger.warning("stream_refused", reason=str(refused))
            code = WSCloseCode.POLICY_VIOLATION if refused.status == 409 else WSCloseCode.TRY_AGAIN_LATER
        except SocketClosed as closed:
            code = closed.code
        await _close(request, stream_socket, code)
        return stream_socket

    async def _hold(self, peer: Peer, path: str, stream: StreamId, state: StoredEvent[CallDecision]) -> int:
        """Conducts the conversation until its stream ends, and returns the close code. Raises SocketClosed."""
        try:
            async with asyncio.timeout(START_SECONDS):
                token = await peer.start()
        except TimeoutError:
            raise SocketClosed(WSCloseCode.POLICY_VIOLATION) from None
        if not verify(self._key, path, token):
            logger.warning("stream_token_wrong")
            raise SocketClosed(WSCloseCode.POLICY_VIOLATION)
        call = peer.conduct(stream, state)
        self._calls.begin(stream, call)
        return await _run(call, peer)


async def _run(call: StreamedCall, peer: Peer) -> int:
    """Runs the call until its stream ends, and returns the close code. An end of the socket ends the call."""
    code: int | None = None
    conversation = asyncio.create_task(call.run())
    tasks = {asyncio.create_task(work) for work in (peer.read(), peer.write(), peer.watch())}
    try:
        done, _ = await asyncio.wait({conversation, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done & tasks:
            error = task.exception()
            code = error.code if isinstance(error, SocketClosed) else WSCloseCode.INTERNAL_ERROR
            call.end((isinstance(error, SocketClosed) and error.reason) or MediaClosedReason.DROPPED)
            if error is not None and not isinstance(error, SocketClosed):
                logger.error("stream_failed", error=type(error).__name__, exc_info=error)
        reason = await conversation
        if code is None:
            await _say_end(peer, reason)
        return code or _CODES.get(reason, WSCloseCode.OK)
    except StreamRefused:
        raise
    except Exception as error:
        logger.error("live_call_failed", error=type(error).__name__, exc_info=error)
        return WSCloseCode.INTERNAL_ERROR
    finally:
        conversation.cancel()
        for task in tasks:
            await cancel_until_done(task)
        await asyncio.gather(conversation, *tasks, return_exceptions=True)  # each error was handled, or is of the end


async def _say_end(peer: Peer, reason: MediaClosedReason) -> None:
    with suppress(ConnectionError, TimeoutError):  # then the end of the socket says it
        async with asyncio.timeout(CLOSE_SECONDS):
            await peer.say_end(reason)


async def _close(request: web.Request, stream_socket: web.WebSocketResponse, code: int) -> None:
    """Closes the socket. A peer that does not read its end loses the connection."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await stream_socket.close(code=code)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


def _route(template: str) -> str:
    """Returns a template of `telephony.routes` in aiohttp's notation."""
    return re.sub(r"{(\w+):(\w+)}", lambda part: f"{{{part[1]}:{_PATTERNS[part[2]]}}}", template)
