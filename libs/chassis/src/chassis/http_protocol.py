"""HTTP/1.1 as the services serve it: uvicorn's protocol on httptools, with a limit of what surrounds a body.

The parser is written in C and costs a third of h11. It has no limit of its own: a head, a chunk extension or a trailer
that never ends would be collected for ever.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""The limit of h11. A body has its own limit, in the application."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Answers 400 and closes the connection if a request has more than `MAX_HEAD_BYTES` beside its body."""

    _head_bytes = 0
    """What was received of the present request, without its body."""

    def data_received(self, data: bytes) -> None:
        """Passes received bytes to the parser, which calls the methods below."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_body(self, body: bytes) -> None:
        """Passes a part of the body on."""
        self._head_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends the request. What follows belongs to the next one."""
        self._head_bytes = 0
        super().on_message_complete()
