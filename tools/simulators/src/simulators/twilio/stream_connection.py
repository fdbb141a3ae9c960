"""The WebSocket connection of a media stream: checks of the URL, and the signed handshake."""

import asyncio
import ipaddress
import ssl
from socket import SO_SNDBUF, SOL_SOCKET
from urllib.parse import SplitResult, urlsplit

import aiohttp

from simulators.twilio.webhooks import Webhooks

HANDSHAKE_SECONDS = 5.0
MAX_UNSENT_BYTES = 32 * 1024
"""About two seconds of audio, beside the kernel's buffer of the same size; Twilio does not publish its limit."""
_CLOSE_SECONDS = 1.0
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class StreamError(Exception):
    """A stream that cannot open or has broken; `code` is Twilio's error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamConnection:
    """An open connection. `send` waits for a server that does not read, unless `is_congested` is checked before."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        connection = socket._response.connection
        self._transport = None if connection is None else connection.transport
        if (kernel_socket := socket.get_extra_info("socket")) is not None:
            kernel_socket.setsockopt(SOL_SOCKET, SO_SNDBUF, MAX_UNSENT_BYTES)

    @property
    def is_congested(self) -> bool:
        """Whether the server has left so much unread that no more audio should be sent."""
        return self._transport is not None and self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES

    async def send(self, text: str) -> None:
        """Sends a message. Raises ConnectionError when the connection is closed."""
        await self._socket.send_str(text)

    async def receive(self) -> aiohttp.WSMessage:
        """Waits for the next message; a close by the server has its code in `data`."""
        return await self._socket.receive()

    async def close(self) -> None:
        """Closes with 1000 and waits a second for the server's answer."""
        await self._socket.close()

    def drop(self) -> None:
        """Breaks the connection without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()


async def connect(webhooks: Webhooks, url: str) -> StreamConnection:
    """Opens a connection. Raises StreamError (31901, 31902, 31910, 31920, 31922, 31923)."""
    check_url(url)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            socket = await webhooks.open_websocket(url, close_seconds=_CLOSE_SECONDS, max_bytes=_MAX_MESSAGE_BYTES)
    except aiohttp.WSServerHandshakeError as error:
        raise StreamError(31920, f"handshake answered {error.status}") from error
    except (ssl.SSLError, aiohttp.ClientSSLError) as error:
        raise StreamError(31910, f"TLS: {type(error).__name__}") from error
    except TimeoutError as error:
        raise StreamError(31901, "no answer") from error
    except aiohttp.ClientConnectorError as error:
        raise StreamError(31902, "connection refused") from error
    except (aiohttp.ClientError, OSError) as error:
        raise StreamError(31920, f"handshake: {type(error).__name__}") from error
    return StreamConnection(socket)


def check_url(url: str) -> None:
    """Raises StreamError: 31923 malformed, 31922 another scheme than wss, 31920 with a query string.

    `ws` is accepted on loopback addresses, which Twilio cannot reach.
    """
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise StreamError(31923, "malformed URL") from error
    if parts.scheme != "wss" and not (parts.scheme == "ws" and _is_loopback(parts)):
        raise StreamError(31922, f"scheme {parts.scheme!r}")
    if not is_complete:
        raise StreamError(31923, "malformed URL")
    if parts.query:
        raise StreamError(31920, "URL with a query string")


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
