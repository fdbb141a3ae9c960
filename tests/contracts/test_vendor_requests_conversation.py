"""A request to OpenAI on the wire, checked against the vendor's OpenAPI document where it is present."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.fakes.providers import provider

from conversation.adapters.openai import openai_model
from conversation.domain.messages import (
    AgentMessage,
    CalleeMessage,
    Completion,
    Instructions,
    Message,
    ScriptValues,
    TextEnd,
    ToolResult,
    ToolUse,
    ToolUseBegun,
)
from conversation.domain.tools import TOOLS
from providers import Failure, RequestFailed
from simulators.serving import serving

USE = ToolUse("turn_1_0", "note", '{"field": "hour", "value": "ten"}')
MESSAGES: list[Message] = [
    Instructions("Language: English (en)."),
    ScriptValues('{"name": "Ana"}'),
    AgentMessage("Hello, Ana."),
    CalleeMessage("Yes, at ten."),
    AgentMessage("", (USE,)),
    ToolResult("turn_1_0", "noted"),
    AgentMessage("Very well.", (ToolUse("turn_2_0", "end_call", "not json"),)),
    ToolResult("turn_2_0", "the call will end"),
    CalleeMessage("(The person said nothing.)"),
]


@pytest.fixture
async def request_on_the_wire() -> tuple[dict[str, str], dict[str, Any]]:
    """Returns the headers and the body of one request that contains every kind of message."""
    received: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def complete(request: Request) -> Response:
        received.append((dict(request.headers), await request.json()))
        return PlainTextResponse("data: [DONE]\n\n", media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    async with (
        serving(app, "127.0.0.1") as origin,
        openai_model("sk-fictional", "gpt-4.1-mini", provider("wire"), base_url=f"{origin}/v1") as model,
    ):
        deadline_at = asyncio.get_running_loop().time() + 10
        with pytest.raises(RequestFailed):  # an answer without a finish_reason is incomplete
            async for _ in model.answer(MESSAGES, TOOLS, first_by=deadline_at, deadline_at=deadline_at):
                pass
    return received[0]


async def read_answer(*lines: str) -> list[str | ToolUseBegun | TextEnd | Completion]:
    """Returns what the adapter yields for an answer of these ``data:`` lines."""

    async def complete(_: Request) -> Response:
        return PlainTextResponse("".join(f"data: {line}\n\n" for line in lines), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    async with (
        serving(app, "127.0.0.1") as origin,
        openai_model("sk-fictional", "gpt-4.1-mini", provider("wire"), base_url=f"{origin}/v1") as model,
    ):
        deadline_at = asyncio.get_running_loop().time() + 10
        answer = model.answer(MESSAGES, TOOLS, first_by=deadline_at, deadline_at=deadline_at)
        return [piece async for piece in answer]


async def test_fields_that_are_absent_or_null_are_empty() -> None:
    first = {"index": 0, "id": "call_a", "function": {"name": "note", "arguments": None}}
    second = {"index": 0, "function": {"arguments": "{}"}}
    deltas = [{"role": "assistant"}, {"content": "Yes.", "tool_calls": None}, None]
    calls = [{"content": None, "tool_calls": [first]}, {"tool_calls": [second]}]
    chunks = [
        *({"choices": [{"index": 0, "delta": delta}], "usage": None} for delta in (*deltas, *calls)),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": None},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
    ]
    pieces = await read_answer(*map(json.dumps, chunks), "[DONE]")
    assert pieces == ["Yes.", ToolUseBegun("note"), TextEnd(), Completion((ToolUse("call_a", "note", "{}"),), 7, 3)]


@pytest.mark.parametrize("line", ['{"error": {"message": "overloaded"}}', "not json"])
async def test_an_answer_that_ends_with_an_error_is_cut_off(line: str) -> None:
    with pytest.raises(RequestFailed) as raised:
        await read_answer('{"choices": [{"index": 0, "delta": {"content": "Yes"}}]}', line)
    assert raised.value.failure is Failure.CUT_OFF


def test_the_request_has_the_intended_shape(
    request_on_the_wire: tuple[dict[str, str], dict[str, Any]],
) -> None:
    headers, body = request_on_the_wire
    assert headers["authorization"] == "Bearer sk-fictional"
    assert set(body) == {"model", "messages", "tools", "stream", "stream_options", "max_completion_tokens"}
    assert (body["model"], body["stream"], body["stream_options"]) == ("gpt-4.1-mini", True, {"include_usage": True})
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "tool", "assistant", "tool", "user"]
    assert body["messages"][1] == {"role": "user", "name": "script_values", "content": '{"name": "Ana"}'}
    function = {"name": "note", "arguments": USE.arguments}
    calls = [{"id": "turn_1_0", "type": "function", "function": function}]
    assert body["messages"][4] == {"role": "assistant", "content": None, "tool_calls": calls}
    assert body["messages"][5] == {"role": "tool", "tool_call_id": "turn_1_0", "content": "noted"}
    assert [tool["function"]["name"] for tool in body["tools"]] == ["end_call", "note"]
    assert all(tool["type"] == "function" and tool["function"]["strict"] is True for tool in body["tools"])


def test_the_request_is_valid_according_to_the_vendors_document(
    request_on_the_wire: tuple[dict[str, str], dict[str, Any]],
) -> None:
    folder = os.environ.get("VENDOR_SPECS")
    document = Path(folder or "", "openai_core.json")
    if not folder or not document.is_file():
        pytest.skip("set VENDOR_SPECS to a folder with openai_core.json, which is not part of this repository")
    validator = _validator(json.loads(document.read_text()))
    _, body = request_on_the_wire
    assert [error.message for error in validator.iter_errors(body)] == []
    invalid: list[dict[str, Any]] = [{"messages": []}, {"stream": "yes"}, {"tools": [{"type": "function"}]}]
    assert not any(validator.is_valid(body | change) for change in invalid), (
        "the document accepts every request, so this test cannot fail"
    )


def _validator(document: dict[str, Any]) -> Any:
    """Returns a validator of the request body; OpenAPI 3.1 schemas are JSON Schema 2020-12."""
    reference = {"$ref": "#/components/schemas/CreateChatCompletionRequest"}
    return jsonschema.Draft202012Validator({**reference, "components": document["components"]})
