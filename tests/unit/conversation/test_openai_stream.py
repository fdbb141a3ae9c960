"""The adapter reads the bytes of a streamed answer that arrive in pieces of any size."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import openai
import pytest
from tests.fakes.providers import provider

from conversation.adapters.openai import OpenAIModel
from conversation.domain.messages import CalleeMessage, Completion, TextEnd, ToolUseBegun
from providers import Failure, RequestFailed


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def text(content: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": content}, "finish_reason": None}])


END = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2})
DONE = b"data: [DONE]\n\n"
ANSWER = text("¿Qué tal, ") + text("señora?") + END + USAGE + DONE


class Body(httpx2.AsyncByteStream):
    """A body that arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.is_read_to_its_end = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        self.is_read_to_its_end = True


async def answer_to(body: Body) -> list[str | ToolUseBegun | TextEnd | Completion]:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=body))
    async with openai.AsyncOpenAI(
        api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        model, now = OpenAIModel(client, "m", provider()), asyncio.get_running_loop().time()
        answer = model.answer([CalleeMessage("Hola")], (), first_by=now + 20, deadline_at=now + 20)
        return [piece async for piece in answer]


def in_pieces_of(size: int, body: bytes) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
async def test_an_answer_may_arrive_in_pieces_of_any_size(size: int, line_end: bytes) -> None:
    body = Body(in_pieces_of(size, ANSWER.replace(b"\n", line_end)))
    assert await answer_to(body) == ["¿Qué tal, ", "señora?", TextEnd(), Completion((), 7, 2)]
    assert body.is_read_to_its_end, "so that the connection can be used again"


async def test_comments_and_other_fields_are_ignored_and_so_is_what_follows_the_end() -> None:
    body = Body([b": keep-alive\n\nevent: x\nid: 1\n", ANSWER, text("more")])
    assert await answer_to(body) == ["¿Qué tal, ", "señora?", TextEnd(), Completion((), 7, 2)]


@pytest.mark.parametrize("wrong", [event(error={"message": "overloaded"}), b"data: {no JSON}\n\n", b"data: 3\n\n"])
async def test_a_stream_with_an_error_or_without_json_is_an_incomplete_answer(wrong: bytes) -> None:
    with pytest.raises(RequestFailed) as failed:
        await answer_to(Body([text("Hola"), wrong, ANSWER]))
    assert failed.value.failure is Failure.CUT_OFF


async def test_an_error_behind_the_reason_of_the_end_loses_only_the_token_counts() -> None:
    body = Body([text("Hola"), END, event(error={"message": "x"})])
    assert await answer_to(body) == ["Hola", TextEnd(), Completion()]
