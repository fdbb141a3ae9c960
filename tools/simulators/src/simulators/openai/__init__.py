"""OpenAI on its true wire protocol: chat completions, streamed or whole, and the models' list."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from simulators.openai.agent import take_turn
from simulators.openai.answers import Answer
from simulators.openai.requests import WrongRequest, parse
from simulators.vendor_errors import openai_error

_FIRST_TOKEN_SECONDS = 0.3
_TOKENS_PER_SECOND = 60
_SHORTEST_SLEEP = 0.005  # seconds; shorter waits are saved up, for a sleep costs more than it waits
_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-5", "gpt-5-mini", "gpt-5-nano")
_MODEL_FAMILIES = ("gpt-", "o1", "o3", "o4", "ft:")  # snapshots of known families answer too
_Handler = Callable[[Request], Awaitable[Response]]


class _OpenAI:
    def __init__(self, seed: int, speed: float, api_key: str | None) -> None:
        self._seed = seed
        self._speed = speed
        self._api_key = api_key

    def guarded(self, handler: _Handler) -> _Handler:
        """The handler behind the key; a wrong request becomes the vendor's 400."""

        async def guarded(request: Request) -> Response:
            if refusal := self._refusal(request.headers.get("authorization", "")):
                return refusal
            try:
                return await handler(request)
            except WrongRequest as wrong:
                return JSONResponse(openai_error(400, wrong.message, param=wrong.param, code=wrong.code), 400)

        return guarded

    def _refusal(self, authorization: str) -> Response | None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            return JSONResponse(openai_error(401, "You didn't provide an API key.", code="missing_api_key"), 401)
        return JSONResponse(openai_error(401), 401) if self._api_key not in (None, key) else None

    async def complete(self, request: Request) -> Response:
        body = await request.body()
        asked = parse(body)
        if not asked.model.startswith(_MODEL_FAMILIES):
            return _no_such_model(asked.model)
        turn = take_turn(self._seed, asked.messages, asked.callable_tools, parallel=asked.parallel_tool_calls)
        digest = hashlib.sha256(f"{self._seed}".encode() + body).hexdigest()
        answer = Answer(asked, turn, digest[:29], int(time.time()))
        headers = {"x-request-id": f"req_{digest[:32]}"}
        if asked.stream:
            return StreamingResponse(self._events(answer), headers=headers, media_type="text/event-stream")
        await self._wait(_FIRST_TOKEN_SECONDS + answer.usage["completion_tokens"] / _TOKENS_PER_SECOND)
        return JSONResponse(answer.completion(), headers=headers)

    async def _events(self, answer: Answer) -> AsyncIterator[str]:
        owed = _FIRST_TOKEN_SECONDS / self._speed
        for chunk in answer.chunks():
            if owed >= _SHORTEST_SLEEP:
                await asyncio.sleep(owed)
                owed = 0.0
            yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
            owed += 1 / _TOKENS_PER_SECOND / self._speed
        yield "data: [DONE]\n\n"

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


async def _models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_described(model) for model in _MODELS]})


async def _model(request: Request) -> Response:
    model = str(request.path_params["model"])
    return JSONResponse(_described(model)) if model.startswith(_MODEL_FAMILIES) else _no_such_model(model)


def _described(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 1735689600, "owned_by": "system"}


def _no_such_model(model: str) -> Response:
    message = f"The model '{model}' does not exist or you do not have access to it."
    return JSONResponse(openai_error(404, message, param="model", code="model_not_found"), 404)


def create_app(*, seed: int = 1, speed: float = 1.0, api_key: str | None = None) -> Starlette:
    """OpenAI's API under `/v1`. `api_key` None accepts any key; `speed` divides every wait.

    The same seed and messages get the same answer, whatever came before.
    """
    vendor = _OpenAI(seed, speed, api_key)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", vendor.guarded(vendor.complete), methods=["POST"]),
            Route("/v1/models", vendor.guarded(_models)),
            Route("/v1/models/{model}", vendor.guarded(_model)),
        ]
    )
