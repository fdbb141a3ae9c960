"""A call that is being talked in, on a real nats-server, and a model on the wire that says what a test tells it to."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from tests.fakes.providers import provider

from chassis.event_log import EventLog, StoredEvent
from contracts import AudioRequested, Call, CallStatus, CallStatusChanged, Event, SpeechHeard
from contracts.streams import call_filters
from conversation.adapters.answers import NoAnswers
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.ports import Model
from simulators.connection_faults import close_connection
from simulators.serving import serving

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Says:
    """One answer on the wire; a "|" in its text is a pause.

    `end`: "whole", "silent" (no finish_reason), "cut" (connection lost) or "stuck".
    """

    text: str = ""
    tools: tuple[tuple[str, str], ...] = ()
    finish: str = "stop"
    end: str = "whole"
    status: int = 200


@dataclass
class Vendor:
    """Speaks chat completions, streamed: each request gets the next answer, and the last one from then on."""

    answers: list[Says] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def says(self, text: str = "", *tools: tuple[str, str], **how: Any) -> None:
        """What it says next: text, tools with their raw arguments, and the further fields of `Says`."""
        self.answers.append(Says(text, tools, **how))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.requests.append(await Request(scope, receive).json())
        says = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if says.status != 200:
            body = {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}
            await JSONResponse(body, says.status)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for delta in self._deltas(says):
            if delta.get("content") == "|":
                await asyncio.sleep(0.2)
                continue
            await self._send(send, self._chunk([{"index": 0, "delta": delta, "finish_reason": None}]))
        await self._end(says, receive, send)

    def _deltas(self, says: Says) -> list[dict[str, Any]]:
        words = [{"content": piece} for piece in re.findall(r"\||[^|]{1,3}", says.text)]
        opening = [
            {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": ""}}
            for n, (name, _) in enumerate(says.tools)
        ]
        arguments = [
            {"index": n, "function": {"arguments": part}}
            for n, (_, raw) in enumerate(says.tools)
            for part in (raw[:5], raw[5:])
        ]
        return [{"role": "assistant", "content": ""}, *words, *({"tool_calls": [c]} for c in [*opening, *arguments])]

    async def _end(self, says: Says, receive: Receive, send: Send) -> None:
        match says.end:
            case "cut":
                await close_connection(receive, send)
                return
            case "stuck":
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            case "whole":
                finish = "tool_calls" if says.tools else says.finish
                await self._send(send, self._chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
                usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
                await self._send(send, self._chunk([]) | {"usage": usage})
                await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, chunk: dict[str, Any]) -> None:
        await send({"type": "http.response.body", "body": f"data: {json.dumps(chunk)}\n\n".encode(), "more_body": True})

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


@dataclass
class Scene:
    """One call in progress; what it hears, and what stands in the log of it."""

    log: EventLog
    turns: Turns
    call: Call
    models: Sequence[Model] = ()

    async def becomes(self, **changes: object) -> None:
        """The orchestrator decides something about the call."""
        self.call = self.call.model_copy(update=changes)
        now, status, attempt = datetime.now(UTC), self.call.status, self.call.attempt
        await self.log.append(
            CallStatusChanged(
                call=self.call, occurred_at=now, previous=CallStatus.RINGING, status=status, attempt=attempt
            )
        )

    async def heard(self, turn: int, text: str) -> StoredEvent:
        """The edge has published what was heard, and nobody has answered yet."""
        return await self.log.append(
            SpeechHeard(
                call_id=self.call.call_id, attempt=1, turn=turn, text=text, language=self.call.language, confidence=0.9
            )
        )

    async def answer(self, recorded: StoredEvent) -> None:
        """The message is delivered."""
        assert isinstance(recorded.event, SpeechHeard)
        await self.turns.answer(recorded.event, recorded.envelope)

    async def hears(self, turn: int, text: str) -> StoredEvent:
        """Both."""
        recorded = await self.heard(turn, text)
        await self.answer(recorded)
        return recorded

    async def facts(self, kind: type[E]) -> list[E]:
        """All events of a kind that the log has of the call."""
        recorded = await self.log.read(call_filters(self.call.call_id))
        return [one.event for one in recorded if isinstance(one.event, kind)]

    async def sentences(self, turn: int) -> list[str]:
        """What was asked to be spoken in a turn, in the order of the log."""
        return [event.text for event in await self.facts(AudioRequested) if event.turn == turn]


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """The model's vendor, on a port of the kernel's choice."""
    vendor = Vendor()
    async with serving(vendor, "127.0.0.1") as origin:
        vendor.url = f"{origin}/v1"
        yield vendor


@pytest.fixture
def deadline_seconds() -> float:
    """How long a turn may take; a test may take another one by parametrizing it."""
    return 5.0


@pytest.fixture
async def scene(calls: EventLog, vendor: Vendor, deadline_seconds: float) -> AsyncIterator[Scene]:
    """A call in Spanish that has just been answered and greeted."""
    now = datetime.now(UTC)
    call = Call(
        call_id=uuid4(),
        request_id="r-1",
        campaign_id="reminders",
        contact_id="c-1",
        phone_number="+12125550123",
        script_template="Hola, {{name}}.\n\nRecuérdele su cita.",
        variables={"name": "Ana"},
        language="es",
        metadata={},
        max_retries=0,
        retry_delay_seconds=60,
        call_timeout_seconds=30,
        max_call_seconds=600,
        created_at=now,
        status=CallStatus.IN_PROGRESS,
        attempt=1,
        status_changed_at=now,
    )
    async with AsyncExitStack() as stack:
        connecting = openai_model("sk-fictional", "gpt-4.1-mini", provider("openai"), base_url=vendor.url)
        model = await stack.enter_async_context(connecting)
        scene = Scene(calls, Turns(calls, [model], NoAnswers(), deadline_seconds=deadline_seconds), call, [model])
        await scene.becomes()
        await calls.append(
            AudioRequested(
                call_id=call.call_id, attempt=0, turn=0, sentence=0, text="Hola, Ana.", language="es", is_reusable=True
            )
        )
        yield scene
