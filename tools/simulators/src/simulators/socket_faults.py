"""Breaks a WebSocket in its course, in place of a message of the vendor."""

import json
from dataclasses import dataclass

from pydantic import JsonValue
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulators.connection_faults import reset_now


@dataclass(frozen=True)
class SocketFault:
    """How a WebSocket breaks; see `faults.FaultRule`."""

    kind: str
    body: JsonValue
    after_messages: int
    close_code: int


async def break_socket(fault: SocketFault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Runs the app on a socket that breaks after `fault.after_messages` messages to the client.

    The app then sends into nothing, until it receives the disconnect.
    """
    sent = 0
    is_broken = False

    async def send_until_broken(message: Message) -> None:
        nonlocal sent, is_broken
        if is_broken:
            return
        if message["type"] != "websocket.send" or sent < fault.after_messages:
            sent += message["type"] == "websocket.send"
            await send(message)
            return
        is_broken = True
        if fault.kind == "cut_socket":
            reset_now(send)
        elif fault.kind == "close_socket":
            if fault.body is not None:
                await send({"type": "websocket.send", "text": json.dumps(fault.body)})
            await send({"type": "websocket.close", "code": fault.close_code})

    async def receive_until_broken() -> Message:
        message = await receive()
        while is_broken and message["type"] == "websocket.receive":
            message = await receive()
        return message

    await app(scope, receive_until_broken, send_until_broken)
