"""HTTP/1.1 as the services serve it: uvicorn's protocol on httptools, with limits of what a client may send unanswered.

The parser is written in C and costs a third of h11. It has no limit of its own: a head, a chunk extension or a trailer
that never ends would be collected for ever. It also parses every request that it has received, not only the first one.
256 kB of short requests become 14,000 objects, which wait for their turn while the client does not read.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""The limit of h11. A body has its own limit, in the application."""
MAX_PIPELINED = 16
"""Requests of one connection that wait for the answer to an earlier one. Most clients send none before that answer."""


_TRANSPORT = "transport"


def transport_of(scope: MutableMapping[str, Any]) -> asyncio.Transport | None:
    """Returns the connection of a request, if a server of ours received it.

    To abort it is the only end for a client that does not read: a server that closes it sends the rest first.
    """
    transport: asyncio.Transport | None = scope.get("state", {}).get(_TRANSPORT)
    return transport


class TooManyRequests(Exception):
    """The client has sent more than `MAX_PIPELINED` requests before the answer to an earlier one."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Answers 400 and closes the connection if a request has more than `MAX_HEAD_BYTES` beside its body.

    The same if more than `MAX_PIPELINED` requests wait.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins a connection. An application can abort it (`transport_of`)."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport}

    _head_bytes = 0
    """What was received of the present request, without its body."""

    def data_received(self, data: bytes) -> None:
        """Passes received bytes to the parser, which calls the methods below."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """Begins the request, or lets it wait. Raises TooManyRequests, with which the parser ends the connection."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooManyRequests
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Passes a part of the body on."""
        self._head_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends the request. What follows belongs to the next one."""
        self._head_bytes = 0
        super().on_message_complete()
