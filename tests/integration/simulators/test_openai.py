"""The OpenAI simulator with the official SDK as its client."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from simulators.openai import create_app
from simulators.serving import serving

SYSTEM = {"role": "system", "content": "You remind people of their appointment. Language: en-US."}
NOTE = {
    "type": "function",
    "function": {
        "name": "note",
        "parameters": {"type": "object", "properties": {"field": {"type": "string"}, "value": {"type": "string"}}},
    },
}
END_CALL = {
    "type": "function",
    "function": {
        "name": "end_call",
        "parameters": {
            "type": "object",
            "properties": {"disposition": {"enum": ["confirmed", "declined", "opt_out", "unresponsive", "response"]}},
            "required": ["disposition"],
        },
    },
}
STOP = [SYSTEM, {"role": "user", "content": "Please stop calling me."}]


@contextlib.asynccontextmanager
async def model(**settings: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        serving(create_app(**{"speed": 100, **settings}), "127.0.0.1") as origin,
        openai.AsyncOpenAI(base_url=f"{origin}/v1", api_key="sk-fictional", max_retries=0) as client,
    ):
        yield client


async def complete(client: openai.AsyncOpenAI, messages: Any, **options: Any) -> Any:
    options = {"model": "gpt-4o-mini", **options}
    return await client.chat.completions.create(messages=messages, **options)


async def streamed(client: openai.AsyncOpenAI, messages: Any, **options: Any) -> list[Any]:
    return [chunk async for chunk in await complete(client, messages, stream=True, **options)]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def calls_of(chunks: list[Any]) -> list[tuple[str, Any]]:
    """Joins the pieces of the tool calls. Returns their names and arguments."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for chunk in chunks:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            names[call.index] = call.function.name or names[call.index]
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    return [(names[index], json.loads(arguments[index])) for index in sorted(names)]


async def test_a_streamed_answer_equals_the_whole_one_and_has_a_finish_reason() -> None:
    messages = [SYSTEM, {"role": "user", "content": "Hello?"}]
    async with model() as client:
        chunks = await streamed(client, messages)
        whole = await complete(client, messages)
    assert text_of(chunks) == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 5


async def test_the_event_stream_ends_with_done() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with (
        serving(create_app(speed=100), "127.0.0.1") as origin,
        httpx.AsyncClient(base_url=origin, headers={"Authorization": "Bearer sk-fictional"}, timeout=60) as http,
    ):
        response = await http.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("}\n\ndata: [DONE]\n\n")


async def test_requested_usage_is_in_a_last_chunk_without_choices() -> None:
    async with model() as client:
        with_usage = await streamed(client, STOP, stream_options={"include_usage": True})
        without_usage = await streamed(client, STOP)
    assert with_usage[-1].choices == []
    assert (
        with_usage[-1].usage.total_tokens == with_usage[-1].usage.prompt_tokens + with_usage[-1].usage.completion_tokens
    )
    assert all(chunk.usage is None for chunk in [*with_usage[:-1], *without_usage])


async def test_a_tool_call_is_streamed_in_pieces_after_the_goodbye() -> None:
    async with model() as client:
        chunks = await streamed(client, STOP, tools=[NOTE, END_CALL])
    pieces = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.tool_calls]
    assert len(pieces) > 2
    assert "Goodbye" in text_of(chunks)
    assert calls_of(chunks) == [("end_call", {"disposition": "opt_out"})]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_a_whole_answer_contains_the_same_tool_calls_as_the_streamed_one() -> None:
    async with model() as client:
        whole = (await complete(client, STOP, tools=[END_CALL])).choices[0]
    assert json.loads(whole.message.tool_calls[0].function.arguments) == {"disposition": "opt_out"}
    assert whole.finish_reason == "tool_calls"


async def test_with_tool_choice_none_no_tool_is_called() -> None:
    async with model() as client:
        chunks = await streamed(client, STOP, tools=[END_CALL], tool_choice="none")
    assert calls_of(chunks) == []
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_without_parallel_tool_calls_only_end_call_is_called() -> None:
    turns = [SYSTEM]
    for _ in range(4):
        turns += [{"role": "assistant", "content": "Can you come?"}, {"role": "user", "content": "Yes, I can."}]
    async with model() as client:
        both = calls_of(await streamed(client, turns, tools=[NOTE, END_CALL]))
        only = calls_of(await streamed(client, turns, tools=[NOTE, END_CALL], parallel_tool_calls=False))
    assert [name for name, _ in both] == ["note", "end_call"]
    assert only == both[1:]


async def test_an_answer_is_cut_at_its_token_limit() -> None:
    async with model() as client:
        whole = await complete(client, STOP, max_completion_tokens=3, tools=[END_CALL])
    assert whole.choices[0].finish_reason == "length"
    assert whole.choices[0].message.tool_calls is None


async def test_equal_seeds_give_equal_answers_and_other_seeds_vary() -> None:
    messages = [SYSTEM, {"role": "user", "content": "Yes, of course."}]
    answers = []
    for seed in (3, 3, *range(4, 12)):
        async with model(seed=seed) as client:
            answers.append((await complete(client, messages)).choices[0].message.content)
    assert answers[0] == answers[1]
    assert len(set(answers)) > 1


async def refused(client: openai.AsyncOpenAI, messages: Any, **options: Any) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as error:
        await complete(client, messages, **options)
    return error.value


async def test_an_invalid_request_is_answered_with_the_name_of_its_field() -> None:
    async with model() as client:
        assert (await refused(client, [])).param == "messages"
        assert (await refused(client, [{"role": "caller", "content": "Hi"}])).param == "messages[0].role"
        assert (await refused(client, STOP, stream_options={"include_usage": True})).param == "stream_options"


async def test_a_missing_field_and_broken_json_are_answered_with_400() -> None:
    async with model() as client:
        headers = {"Authorization": "Bearer sk-fictional"}
        async with httpx.AsyncClient(base_url=str(client.base_url), headers=headers, timeout=60) as http:
            missing = await http.post("/chat/completions", json={"model": "gpt-4o"})
            broken = await http.post("/chat/completions", content=b"{")
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "missing_required_parameter")
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("function", "param"),
    [
        ({"name": "free slots"}, "tools[0].function.name"),
        ({"name": "a", "strict": True, "parameters": {"properties": {}}}, "tools[0].function.parameters"),
        (
            {
                "name": "a",
                "strict": True,
                "parameters": {"properties": {"day": {}}, "required": [], "additionalProperties": False},
            },
            "tools[0].function.parameters",
        ),
    ],
)
async def test_a_function_that_the_vendor_does_not_accept_is_an_invalid_request(
    function: dict[str, Any], param: str
) -> None:
    async with model() as client:
        tools = [{"type": "function", "function": function}]
        assert (await refused(client, STOP, tools=tools)).param == param


def with_call(*after: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"id": "call_1", "type": "function", "function": {"name": "note", "arguments": "{}"}}
    return [*STOP, {"role": "assistant", "content": None, "tool_calls": [call]}, *after]


async def test_a_tool_call_without_an_answer_is_an_invalid_request() -> None:
    async with model() as client:
        assert "call_1" in (await refused(client, with_call())).message
        assert "call_1" in (await refused(client, with_call({"role": "user", "content": "Yes"}))).message
        assert await complete(client, with_call({"role": "tool", "tool_call_id": "call_1", "content": "ok"}))


async def test_a_tool_message_without_a_tool_call_is_an_invalid_request() -> None:
    async with model() as client:
        stray = {"role": "tool", "tool_call_id": "call_2", "content": "ok"}
        assert "tool_calls" in (await refused(client, [*STOP, stray])).message


async def test_a_wrong_key_is_refused() -> None:
    async with model(api_key="sk-another") as client:
        with pytest.raises(openai.AuthenticationError) as error:
            await complete(client, STOP)
    assert error.value.code == "invalid_api_key"


async def test_models_are_listed_and_an_unknown_one_is_not_found() -> None:
    async with model() as client:
        listed = {model.id async for model in client.models.list()}
        assert (await client.models.retrieve("gpt-4o-mini")).id in listed
        with pytest.raises(openai.NotFoundError) as error:
            await complete(client, STOP, model="unheard-of")
    assert error.value.code == "model_not_found"


async def written(speed: float) -> list[bytes]:
    """Returns the parts of one streamed answer in which the simulator writes it."""
    body = b'{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "Who is calling, please?"}]}'
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            parts.append(message["body"])

    headers = [(b"authorization", b"Bearer sk-fictional")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "query_string": b""}
    await create_app(speed=speed)({**scope, "asgi": {"spec_version": "2.4"}}, receive, send)
    return [part for part in parts if part]


async def test_chunks_that_are_due_together_are_written_together() -> None:
    slow, fast = await written(50.0 / 3), await written(10_000.0)
    events = [part.count(b"data: ") for part in fast]
    assert events[:5] == [1] * 5
    assert len(fast) == 6
    assert sum(events) == sum(part.count(b"data: ") for part in slow)
    assert b"".join(fast).count(b"[DONE]") == 1
