"""WebSockets to a speech vendor: opened behind a circuit breaker, and written in order by a task of their own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import ClientWebSocketResponse, ClientWSTimeout, WSMsgType, WSServerHandshakeError

from chassis.background import cancel_until_done
from providers import Failure, Provider, RequestFailed
from providers.connections import connection_failure

CONNECT_SECONDS = 3.0
"""Limit of a handshake. A conversation that cannot begin within it goes on in turns."""
CLOSE_SECONDS = 1.0
PING_SECONDS = 20.0
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_WAITING = 512
"""Messages that wait for a vendor that does not read: about 50 s of audio. More of them end the socket."""


class VendorSocket:
    """One WebSocket. `send` returns at once; the messages are written in their order."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self._is_stalled = False

    def send(self, message: str) -> None:
        """Sends a message. One that cannot be sent any more is lost; `messages` reports the end of the socket."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._is_stalled = True

    async def messages(self) -> AsyncGenerator[str, None]:
        """Yields the vendor's messages. Raises RequestFailed when the socket ends, for any reason."""
        while not self._is_stalled:
            received = await self._socket.receive()
            if received.type is WSMsgType.TEXT:
                yield received.data
            elif received.type is not WSMsgType.BINARY:
                break
        raise RequestFailed(Failure.CUT_OFF, f"the socket ended with {self._socket.close_code}")

    async def write(self) -> None:
        """Writes messages until it is cancelled, or until the socket ends."""
        try:
            while True:
                await self._socket.send_str(await self._waiting.get())
        except (ConnectionError, aiohttp.ClientError):
            await asyncio.get_running_loop().create_future()  # `messages` reports it


def socket_session() -> aiohttp.ClientSession:
    """Returns a session for any number of sockets: the capacity of the provider bounds them.

    aiohttp would open 100, which is 50 live calls, and let those of further calls wait for their end.
    """
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


@asynccontextmanager
async def open_socket(
    http: aiohttp.ClientSession, provider: Provider, url: str, *, api_key: str, query: Sequence[tuple[str, str]]
) -> AsyncIterator[VendorSocket]:
    """Yields a socket, and closes it at the end. Raises RequestFailed if it cannot be opened.

    The provider's capacity and breaker apply to the handshake; a conversation must not use up the capacity.
    """
    async with provider.request(max_wait_seconds=CONNECT_SECONDS):
        socket = await _connect(http, url, api_key, query)
    vendor_socket = VendorSocket(socket)
    writing = asyncio.create_task(vendor_socket.write())
    try:
        yield vendor_socket
    finally:
        await cancel_until_done(writing)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()
        except TimeoutError:
            pass


async def _connect(
    http: aiohttp.ClientSession, url: str, api_key: str, query: Sequence[tuple[str, str]]
) -> ClientWebSocketResponse:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await http.ws_connect(
                url,
                params=list(query),
                headers={"xi-api-key": api_key},
                heartbeat=PING_SECONDS,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
    except WSServerHandshakeError as error:
        raise RequestFailed(_failure(error.status), f"HTTP {error.status}") from error
    except TimeoutError as error:
        raise RequestFailed(Failure.DEADLINE, "the handshake was not answered") from error
    except (aiohttp.ClientError, OSError) as error:
        raise RequestFailed(connection_failure(error) or Failure.UNREACHABLE, type(error).__name__) from error


def _failure(status: int) -> Failure:
    if status == 429:
        return Failure.RATE_LIMITED
    return Failure.SERVER_ERROR if status >= 500 or status < 400 else Failure.REFUSED
