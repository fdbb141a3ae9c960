"""OpenAI's chat completions, streamed with the official SDK.

The SDK sends the request and returns the response. The stream of server-sent events is read here, as its bytes arrive:
an answer has one chunk for each word, and the SDK's decoder and models take longer than the rest of the work on it.
The fields that are read have types.

A stream may end early without an error. An answer without ``finish_reason`` is therefore a failure.
"""

import asyncio
import json
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Required, TypedDict, cast

import httpx2
import openai
import structlog
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from conversation.adapters.openai_messages import message_param, tool_param
from conversation.domain.messages import Completion, Message, TextEnd, ToolUse, ToolUseBegun
from conversation.domain.tools import Tool
from providers import Failure, Provider, RequestFailed
from providers.connections import KEEPALIVE_SECONDS, connection_failure

MAX_TOKENS = 1000
"""Limits the cost of one answer of a model that does not stop. The length of a turn is set by the prompt."""

_DONE = b"[DONE]"
_END_SECONDS = 0.1
"""How long the end of a response may take after the last event. A connection that takes longer is not used again."""
_WARM_SECONDS = KEEPALIVE_SECONDS - 15.0
"""How long after a request its connection is likely to last for that of the next call."""
_WARM_UP_SECONDS = 5.0
_LIMITS = httpx2.Limits(max_connections=1000, keepalive_expiry=KEEPALIVE_SECONDS)
_INCOMPLETE = {"length": Failure.TOO_LONG, "content_filter": Failure.FILTERED}

logger = structlog.get_logger()


class _Function(TypedDict, total=False):
    name: str | None
    arguments: str | None


class _ToolCallDelta(TypedDict, total=False):
    index: Required[int]
    id: str | None
    function: _Function | None


class _Delta(TypedDict, total=False):
    content: str | None
    tool_calls: list[_ToolCallDelta] | None


class _Choice(TypedDict, total=False):
    delta: _Delta
    finish_reason: str | None


class _Usage(TypedDict, total=False):
    prompt_tokens: int
    completion_tokens: int


class _Chunk(TypedDict, total=False):
    """A chunk of an answer: the fields that are read, of ``CreateChatCompletionStreamResponse``."""

    choices: list[_Choice]
    usage: _Usage | None


@asynccontextmanager
async def openai_model(api_key: str, model: str, provider: Provider, *, base_url: str) -> AsyncIterator["OpenAIModel"]:
    """Opens a model of OpenAI, or of another vendor that offers the same protocol under `base_url`."""
    # At DEBUG the SDK logs whole requests, which contain the callee's words.
    logging.getLogger("openai").setLevel(logging.WARNING)
    # No retries in the SDK: the turn decides about them, counts and records them.
    http = openai.DefaultAioHttpClient(limits=_LIMITS)
    async with openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http) as client:
        yield OpenAIModel(client, model, provider)


class OpenAIModel:
    """Implements `conversation.ports.Model`."""

    def __init__(self, client: openai.AsyncOpenAI, model: str, provider: Provider) -> None:
        self._client = client
        self._provider = provider
        self._requested_at = -math.inf
        self.name = model

    async def warm_up(self) -> None:
        """Opens a connection, and imports what the first request would import. Does nothing soon after a request.

        It asks for the model, which costs nothing. An answer that is no success is logged, and changes nothing.
        """
        clock = asyncio.get_running_loop().time
        if clock() - self._requested_at < _WARM_SECONDS:
            return
        self._requested_at = clock()
        try:
            async with asyncio.timeout(_WARM_UP_SECONDS):
                await self._client.models.retrieve(self.name)
        except (openai.OpenAIError, httpx2.TransportError, TimeoutError) as error:
            logger.info("model_not_found", model=self.name, reason=_failure(error, has_begun=False).value)

    def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, first_by: float, deadline_at: float
    ) -> AsyncGenerator[str | ToolUseBegun | TextEnd | Completion, None]:
        """Yields what `conversation.ports.Model` says. Raises RequestFailed."""
        return self._provider.stream(self._pieces(messages, tools, first_by, deadline_at), first_by=first_by)

    async def _pieces(
        self, messages: Sequence[Message], tools: Sequence[Tool], first_by: float, deadline_at: float
    ) -> AsyncGenerator[str | ToolUseBegun | TextEnd | Completion, None]:
        answer = _Answer()
        try:
            sent_messages, sent_tools = [*map(message_param, messages)], [*map(tool_param, tools)]
            async with aclosing(self._chunks(sent_messages, sent_tools, first_by, deadline_at)) as chunks:
                async for chunk in chunks:
                    if text := answer.add(chunk):
                        yield text
                    while answer.marks:
                        yield answer.marks.pop(0)
        except (openai.OpenAIError, httpx2.TransportError, TimeoutError, ValueError) as error:  # not JSON: ValueError
            if answer.finish_reason is None:  # otherwise only the token counts are lost
                raise RequestFailed(_failure(error, answer.has_begun)) from error
        yield answer.completion()

    async def _chunks(
        self,
        messages: list[ChatCompletionMessageParam],
        tools: list[ChatCompletionToolParam],
        first_by: float,
        deadline_at: float,
    ) -> AsyncGenerator[_Chunk, None]:
        body: CompletionCreateParamsStreaming = {
            "model": self.name,
            "messages": messages,
            "tools": tools,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": MAX_TOKENS,
        }
        self._requested_at = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(first_by):
            stream = await self._client.post(
                "/chat/completions",
                body=body,
                options={
                    "timeout": max(0.001, deadline_at - asyncio.get_running_loop().time()),
                    "security": {"bearer_auth": True},
                },
                cast_to=object,
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
        async with stream, aclosing(_read_events(stream.response, first_by, deadline_at)) as events:
            async for event in events:
                yield event


async def _read_events(response: httpx2.Response, first_by: float, deadline_at: float) -> AsyncGenerator[_Chunk, None]:
    """Yields the chunks of a stream of server-sent events. Raises TimeoutError, ValueError and httpx2.TransportError.

    Each event is one line ``data: <JSON>``. ``[DONE]`` is the last one. The end of the response behind it is read, so
    that its connection can be used again.
    """
    next_by, rest = first_by, b""
    received = aiter(response.aiter_bytes())
    while True:
        async with asyncio.timeout_at(next_by):  # not around the yield: it would cancel the caller's work
            data = await anext(received, None)
        if data is None:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            name, _, value = line.partition(b":")
            if name != b"data":
                continue
            if (value := value.strip()) == _DONE:
                with suppress(TimeoutError, httpx2.TransportError):
                    async with asyncio.timeout(_END_SECONDS):
                        async for _ in received:
                            await asyncio.sleep(0)  # the timeout ends also what has already arrived
                return
            decoded = json.loads(value)
            if not isinstance(decoded, dict) or decoded.get("error"):
                raise ValueError("no chunk of an answer")
            chunk = cast("_Chunk", decoded)
            if any(_has_content(choice.get("delta") or {}) for choice in chunk.get("choices") or ()):
                next_by = deadline_at  # the answer has begun; the first chunk, with the role only, does not count
            yield chunk


@dataclass
class _ToolCall:
    id: str
    name: str = ""
    arguments: str = ""


@dataclass
class _Answer:
    """Assembles one answer from its chunks."""

    has_begun: bool = False
    finish_reason: str | None = None
    tool_calls: dict[int, _ToolCall] = field(default_factory=dict)
    marks: list[ToolUseBegun | TextEnd] = field(default_factory=list)
    """What is to be yielded after the text of the last chunk."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def add(self, chunk: _Chunk) -> str:
        """Adds a chunk and returns its text. The last chunk has the token counts and no choices."""
        self.has_begun = True
        if usage := chunk.get("usage"):
            self.prompt_tokens, self.completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not (choices := chunk.get("choices")):
            return ""
        choice = choices[0]
        delta = choice.get("delta") or {}
        self._add_tool_calls(delta.get("tool_calls") or ())
        if reason := choice.get("finish_reason"):
            self.finish_reason = reason
            if reason not in _INCOMPLETE:
                self.marks.append(TextEnd())
        return _without_surrogates(delta.get("content"))

    def _add_tool_calls(self, deltas: Iterable[_ToolCallDelta]) -> None:
        for delta in deltas:
            index, function = delta["index"], delta.get("function")
            call = self.tool_calls.setdefault(index, _ToolCall(delta.get("id") or f"call_{index}"))
            if function:
                if name := _without_surrogates(function.get("name")):
                    call.name += name
                    self.marks.append(ToolUseBegun(call.name))
                call.arguments += _without_surrogates(function.get("arguments"))

    def completion(self) -> Completion:
        """Returns the end of a complete answer. Raises RequestFailed if the answer is incomplete."""
        if self.finish_reason is None:
            raise RequestFailed(Failure.CUT_OFF)
        if failure := _INCOMPLETE.get(self.finish_reason):
            raise RequestFailed(failure)
        uses = tuple(ToolUse(call.id, call.name, call.arguments) for _, call in sorted(self.tool_calls.items()))
        return Completion(uses, self.prompt_tokens, self.completion_tokens)


def _has_content(delta: _Delta) -> bool:
    return bool(delta.get("content") or delta.get("tool_calls"))


def _without_surrogates(text: str | None) -> str:
    """Returns the text without lone surrogates. JSON can contain them, but they are no characters: UTF-8 cannot."""
    return (text or "").encode(errors="ignore").decode()


def _failure(error: Exception, has_begun: bool) -> Failure:
    if connection_failure(error):
        return Failure.CUT_OFF if has_begun else Failure.UNREACHABLE
    match error:
        case TimeoutError() | openai.APITimeoutError() | httpx2.TimeoutException():
            return Failure.DEADLINE
        case openai.RateLimitError():
            return Failure.RATE_LIMITED
        case openai.APIStatusError(status_code=status):
            return Failure.REFUSED if status < 500 else Failure.SERVER_ERROR
        case openai.APIConnectionError() if not has_begun:
            return Failure.UNREACHABLE
    return Failure.CUT_OFF
