"""Breaks a connection as a failing network does, under uvicorn's protocols for HTTP and WebSockets.

An exception in an application becomes a 500 answer. Only the transport can make the client see a broken connection.
"""

import asyncio
import socket
import struct

from starlette.types import Receive, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_LINGER_ZERO = struct.pack("ii", 1, 0)


async def reset_connection(receive: Receive, send: Send) -> None:
    """Sends a TCP reset; data that the client has not read yet is lost. Returns when the connection is closed."""
    reset_now(send)
    await _wait_for_disconnect(receive)


def reset_now(send: Send) -> None:
    """Sends a TCP reset. The application receives the disconnect."""
    transport = _transport(send)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


async def close_connection(receive: Receive, send: Send) -> None:
    """Closes the connection after the data already sent, complete or not. Returns when it is closed."""
    _transport(send).close()
    await _wait_for_disconnect(receive)


def _transport(send: Send) -> asyncio.Transport:
    owner = getattr(send, "__self__", None)
    if not isinstance(owner, RequestResponseCycle | WebSocketsSansIOProtocol):
        raise TypeError("connection faults need httptools and the fault middleware as the outermost app")
    return owner.transport


async def _wait_for_disconnect(receive: Receive) -> None:
    """Waits until uvicorn has noticed the disconnect; otherwise it would answer 500."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass
