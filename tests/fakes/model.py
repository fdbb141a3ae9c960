"""A server that speaks OpenAI's streamed chat completions and returns the answers that a test prepares."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from simulators.connection_faults import close_connection

PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class ScriptedAnswer:
    """One answer on the wire. A "|" in its text is a pause; tools are pairs of name and raw arguments.

    `end`: "whole", "silent" (no finish_reason), "cut" (the connection is lost) or "stuck" (nothing more is sent).
    `may_end`: what is waited for between the finish_reason and the token counts.
    """

    text: str = ""
    tools: tuple[tuple[str, str], ...] = ()
    finish: str = "stop"
    end: str = "whole"
    status: int = 200
    may_end: asyncio.Event | None = None


@dataclass
class ModelServer:
    """An ASGI application. Each request consumes one prepared answer; the last answer serves all further requests."""

    answers: list[ScriptedAnswer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def prepare(self, text: str = "", *tools: tuple[str, str], **options: Any) -> None:
        """Adds an answer; `options` are the other fields of `ScriptedAnswer`."""
        self.answers.append(ScriptedAnswer(text, tools, **options))

    @property
    def requested_models(self) -> list[str]:
        """The model of each request."""
        return [request["model"] for request in self.requests]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        self.requests.append(await Request(scope, receive).json())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.status != 200:
            body = {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}
            await JSONResponse(body, answer.status)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for delta in _deltas(answer):
            if delta.get("content") == "|":
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                await _send(send, _chunk([{"index": 0, "delta": delta, "finish_reason": None}]))
        await _end(answer, receive, send)


def _deltas(answer: ScriptedAnswer) -> list[dict[str, Any]]:
    words = [{"content": piece} for piece in re.findall(r"\||[^|]{1,3}", answer.text)]
    opening = [
        {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": ""}}
        for n, (name, _) in enumerate(answer.tools)
    ]
    arguments = [
        {"index": n, "function": {"arguments": part}}
        for n, (_, raw) in enumerate(answer.tools)
        for part in (raw[:5], raw[5:])
    ]
    return [{"role": "assistant", "content": ""}, *words, *({"tool_calls": [c]} for c in [*opening, *arguments])]


async def _end(answer: ScriptedAnswer, receive: Receive, send: Send) -> None:
    match answer.end:
        case "cut":
            await close_connection(receive, send)
            return
        case "stuck":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        case "whole":
            finish = "tool_calls" if answer.tools else answer.finish
            await _send(send, _chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
            if answer.may_end:
                await answer.may_end.wait()
            usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
            await _send(send, _chunk([]) | {"usage": usage})
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send(send: Send, chunk: dict[str, Any]) -> None:
    await send({"type": "http.response.body", "body": f"data: {json.dumps(chunk)}\n\n".encode(), "more_body": True})


def _chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
