"""Ending a connection as a broken network does, under uvicorn's h11 protocol.

An application that raises makes a 500; only the transport can make the client see a dead connection.
"""

import socket
import struct

from starlette.types import Receive, Send
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

_LINGER_ZERO = struct.pack("ii", 1, 0)


async def reset_connection(receive: Receive, send: Send) -> None:
    """Send a TCP reset: nothing that was not yet read arrives. Returns once the connection is gone."""
    transport = _cycle(send).transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
    await _gone(receive)


async def close_connection(receive: Receive, send: Send) -> None:
    """Close after what was already sent, whether or not the answer is complete. Returns once it is gone."""
    _cycle(send).transport.close()
    await _gone(receive)


def _cycle(send: Send) -> RequestResponseCycle:
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        raise TypeError("a connection can only be broken under uvicorn's h11 protocol, as the outermost app")
    return cycle


async def _gone(receive: Receive) -> None:
    """Wait until uvicorn knows, or it would answer 500 on our behalf."""
    while (await receive())["type"] != "http.disconnect":
        pass
