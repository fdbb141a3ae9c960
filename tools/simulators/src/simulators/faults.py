"""Fault injection: which requests a simulator fails, and how. Probabilities are drawn from a seed."""

import asyncio
import random
import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulators.connection_faults import close_connection, reset_connection
from simulators.socket_faults import SocketFault, break_socket
from simulators.vendor_errors import error_body

Target = Literal["twilio", "elevenlabs", "openai"]
CONTROL_PREFIX = "/_simulator"
_MAX_WHOLE_CHUNKS = 3
_REQUEST_KINDS = frozenset({"lost_response", "cut_body"})
_SOCKET_KINDS = frozenset({"cut_socket", "stall_socket", "close_socket"})


class FaultRule(BaseModel):
    """One fault and the requests to which it applies.

    `path` and `request_body` are regular expressions that are searched in the request's path and body; `method` None
    matches any method. `remaining` is the number of times that the rule still fires; None means always. The kinds for
    requests and for the handshakes of WebSockets:

    - latency: wait `seconds` of real time (independent of the speed), then continue with the next rule.
    - status: answer `status` with `body` (the vendor's error document if None) and `Retry-After`; nothing is processed.
    - reset: reset the connection; nothing is processed.

    For requests only:

    - lost_response: process the request, then reset the connection before the answer.
    - cut_body: process the request, begin the answer, then close the connection in the middle of its body.

    For WebSockets only, in place of the message that the vendor would send after `after_messages` others:

    - cut_socket: reset the connection.
    - stall_socket: send nothing more and discard what arrives; the connection stays open.
    - close_socket: send `body`, if it is set, as a message (an error of the vendor), then close with `close_code`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target
    method: str | None = None
    path: str = ""
    request_body: str = ""
    kind: Literal[
        "latency", "status", "reset", "lost_response", "cut_body", "cut_socket", "stall_socket", "close_socket"
    ]
    status: int = Field(default=500, ge=200, le=599)
    body: JsonValue = None
    retry_after: float | None = Field(default=None, ge=0)
    seconds: float = Field(default=0, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)
    remaining: int | None = Field(default=None, ge=0)
    after_messages: int = Field(default=0, ge=0)
    close_code: int = Field(default=1011, ge=1000, le=4999)

    def matches(self, target: Target, method: str, path: str, body: bytes, is_socket: bool = False) -> bool:
        """Returns whether the rule applies to this request, or to this WebSocket if `is_socket`."""
        return (
            self.target == target
            and self.kind not in (_REQUEST_KINDS if is_socket else _SOCKET_KINDS)
            and (self.method is None or self.method.upper() == method)
            and re.search(self.path, path) is not None
            and re.search(self.request_body.encode(), body) is not None
        )


class FaultPlan:
    """The active fault rules. The same seed, rules and order of requests give the same faults."""

    def __init__(self, seed: int, rules: Sequence[FaultRule] = ()) -> None:
        self._seed = seed
        self.rules = rules

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """The active rules in the order in which they are tried; `remaining` has its initial value."""
        return self._rules

    @rules.setter
    def rules(self, rules: Sequence[FaultRule]) -> None:
        self._rules = tuple(rules)
        self._remaining = [rule.remaining for rule in self._rules]
        self._draws = [random.Random(f"{self._seed}:{number}") for number in range(len(self._rules))]

    def fire(
        self, target: Target, method: str, path: str, body: bytes = b"", *, is_socket: bool = False
    ) -> list[FaultRule]:
        """Returns the rules that fire for this request, and counts them: latencies, then at most one other rule."""
        fired: list[FaultRule] = []
        for number, rule in enumerate(self._rules):
            if rule.matches(target, method, path, body, is_socket) and self._fires(number, rule):
                fired.append(rule)
                if rule.kind != "latency":
                    break
        return fired

    def _fires(self, number: int, rule: FaultRule) -> bool:
        remaining = self._remaining[number]
        if remaining == 0 or self._draws[number].random() >= rule.probability:
            return False
        if remaining is not None:
            self._remaining[number] = remaining - 1
        return True

    def middleware(self, target: Target, app: ASGIApp) -> ASGIApp:
        """Returns the app behind this plan's faults. It must be the outermost app under uvicorn.

        The simulator's own control routes never fail.
        """

        async def with_faults(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan" or scope["path"].startswith(CONTROL_PREFIX):
                await app(scope, receive, send)
                return
            is_socket = scope["type"] == "websocket"
            body = b""
            if not is_socket and any(rule.request_body for rule in self.rules):
                body, receive = await _read_body(receive)
            method = "GET" if is_socket else scope["method"]
            for rule in self.fire(target, method, scope["path"], body, is_socket=is_socket):
                if rule.kind != "latency":
                    await _fail(rule, app, scope, receive, send)
                    return
                await asyncio.sleep(rule.seconds)
            await app(scope, receive, send)

        return with_faults


async def _read_body(receive: Receive) -> tuple[bytes, Receive]:
    """Returns the whole body of a request, and a `receive` that returns it again to the app."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    is_replayed = False

    async def receive_again() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, receive_again


async def _fail(rule: FaultRule, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if rule.kind == "status":
        body = error_body(rule.target, rule.status) if rule.body is None else rule.body
        headers = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
        await JSONResponse(body, rule.status, headers)(scope, receive, send)
    elif rule.kind == "cut_body":
        await _cut_body(app, scope, receive, send)
    elif rule.kind in _SOCKET_KINDS:
        fault = SocketFault(rule.kind, rule.body, rule.after_messages, rule.close_code)
        await break_socket(fault, app, scope, receive, send)
    else:
        if rule.kind == "lost_response":
            await app(scope, receive, _discard)
        await reset_connection(receive, send)


async def _discard(message: Message) -> None:
    """Sends nothing."""


async def _cut_body(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends up to three chunks of the answer and half of the next one, then closes the connection."""
    whole_chunks = 0
    is_cut = False

    async def send_until_cut(message: Message) -> None:
        nonlocal whole_chunks, is_cut
        if is_cut or message["type"] != "http.response.body":
            await (_discard(message) if is_cut else send(message))
            return
        body = message.get("body", b"")
        if message.get("more_body") and whole_chunks < _MAX_WHOLE_CHUNKS:
            whole_chunks += bool(body)
            await send(message)
            return
        is_cut = True
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await close_connection(receive, send)

    await app(scope, receive, send_until_cut)
