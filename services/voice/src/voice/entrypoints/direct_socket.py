"""A WebSocket whose texts are taken as soon as they are read, and whose messages are written at once.

A stream of audio brings fifty messages a second. By aiohttp's queue, each of them costs a future and the wake-up of a
task that waits for it, and each message that is sent costs another one: a quarter of what socket and message cost (ADR
78). aiohttp has no public way past them. So this module, and no other, overrides where aiohttp's parser puts what it
has read (``aiohttp/_websocket/reader_py.py``), and looks at its writer. Handshake, limits, pings and the closing
handshake stay aiohttp's.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from aiohttp import WSMessage, WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.http_websocket import WebSocketWriter, WSMessageTextBytes
from aiohttp.web_request import BaseRequest

SEND_BUFFER_BYTES = 16 * 1024
"""Of the socket and of the transport: about a second of audio each, so that a peer that does not read is noticed."""
_MAX_BYTES_AT_ONCE = SEND_BUFFER_BYTES // 2
_QUEUE_BYTES = 64 * 1024
"""The queue holds twice as much; then nothing more is read."""


class _Queue(WebSocketDataQueue):
    """The messages that were read. With `on_text`, a text goes there instead, unless others wait before it."""

    on_text: Callable[[str], None] | None = None

    def feed_data(self, data: WSMessage | WSMessageTextBytes, size: int) -> None:
        if self.on_text is not None and data.type is WSMsgType.TEXT and not self._buffer:
            self.on_text(data.data)
        else:
            super().feed_data(data, size)


class DirectSocket(web.WebSocketResponse):
    """The server's end of a WebSocket without compression."""

    _queue: _Queue

    @contextmanager
    def taking_texts(self, take: Callable[[str], None]) -> Iterator[None]:
        """Passes each text to `take` as soon as it is read, while the block runs, which must `receive` all others.

        After an error of `take`, `receive` returns a message of the type ERROR, and the block ends with that error.
        """
        failure: Exception | None = None
        context = copy_context()  # of the task that runs the block: the logs name its call

        def on_text(text: str) -> None:
            nonlocal failure
            try:
                context.run(take, text)
            except Exception as error:  # noqa: BLE001  the block raises it
                failure, self._queue.on_text = error, None
                self._queue.feed_data(WSMessage(WSMsgType.ERROR, error, None), 0)

        self._queue.on_text = on_text
        try:
            yield
        except Exception:
            if failure is not None:
                raise failure from None
            raise
        finally:
            self._queue.on_text = None

    def write_now(self, message: str) -> bool:
        """Writes a message, unless it is long, or the peer does not read fast enough, or is gone: then returns False.

        `send_str` waits only if the transport has paused its writer: from `SEND_BUFFER_BYTES` on, down to a quarter. So
        it does not wait here.
        """
        size = len(message) if message.isascii() else 4 * len(message)
        if self._writer is None or size > _MAX_BYTES_AT_ONCE:
            return False
        if self._writer.transport.get_write_buffer_size() > SEND_BUFFER_BYTES // 4:
            return False
        try:
            self.send_str(message).send(None)
        except StopIteration:
            return True
        except ConnectionError:
            return False
        raise AssertionError("unreachable")

    def _post_start(self, request: BaseRequest, protocol: str | None, writer: WebSocketWriter) -> None:
        """Does what aiohttp's method does, with a queue of this module."""
        self._ws_protocol, self._writer = protocol, writer
        writer.transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        self._reset_heartbeat()
        self._reader = self._queue = _Queue(request.protocol, _QUEUE_BYTES, loop=asyncio.get_running_loop())
        self._parser = WebSocketReader(self._queue, self._max_msg_size, compress=False, decode_text=True)
        on_data = None if self._heartbeat is None else self._on_data_received
        request.protocol.set_parser(self._parser, data_received_cb=on_data)
        request.protocol.keep_alive(False)
