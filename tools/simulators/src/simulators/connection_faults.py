"""Breaks a connection as a failing network does, under uvicorn's httptools protocol.

An exception in an application becomes a 500 answer. Only the transport can make the client see a broken connection.
"""

import socket
import struct

from starlette.types import Receive, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_LINGER_ZERO = struct.pack("ii", 1, 0)


async def reset_connection(receive: Receive, send: Send) -> None:
    """Sends a TCP reset; data that the client has not read yet is lost. Returns when the connection is closed."""
    transport = _cycle(send).transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
    await _wait_for_disconnect(receive)


async def close_connection(receive: Receive, send: Send) -> None:
    """Closes the connection after the data already sent, complete or not. Returns when it is closed."""
    _cycle(send).transport.close()
    await _wait_for_disconnect(receive)


def _cycle(send: Send) -> RequestResponseCycle:
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        raise TypeError("connection faults need httptools, and the fault middleware as the outermost app")
    return cycle


async def _wait_for_disconnect(receive: Receive) -> None:
    """Waits until uvicorn has noticed the disconnect; otherwise it would answer 500."""
    while (await receive())["type"] != "http.disconnect":
        pass
