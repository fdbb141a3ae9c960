"""A WebSocket as the vendor's two protocols use it: JSON in text frames, errors before the end."""

from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

_MAX_REASON = 100  # of 123 bytes


class VendorSocket:
    """One accepted WebSocket. Sending after the end does nothing: the reader notices it."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str:
        """Returns the next text. A binary frame is an empty text. Raises WebSocketDisconnect."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        return message.get("text") or ""

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message. Raises WebSocketDisconnect if the client has disconnected."""
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.send_json(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the socket."""
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.close(code, reason.encode("ascii", "replace").decode()[:_MAX_REASON])
