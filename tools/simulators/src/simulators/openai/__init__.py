"""OpenAI's wire protocol: chat completions, streamed or whole, and the list of models."""

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
from simulators.openai.requests import InvalidRequest, parse
from simulators.vendor_errors import openai_error

_FIRST_TOKEN_SECONDS = 0.3
_TOKENS_PER_SECOND = 60
_MIN_SLEEP_SECONDS = 0.005  # shorter waits are added up, and their chunks sent together: each has a cost of its own
_SINGLE_CHUNKS = 5  # the first chunks are sent one by one at any speed, so that a client can lose the rest
_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-5", "gpt-5-mini", "gpt-5-nano")
_MODEL_FAMILIES = ("gpt-", "o1", "o3", "o4", "ft:")  # every model of these families exists
_Handler = Callable[[Request], Awaitable[Response]]


class _OpenAI:
    def __init__(self, seed: int, speed: float, api_key: str | None) -> None:
        self._seed = seed
        self._speed = speed
        self._api_key = api_key

    def authenticated(self, handler: _Handler) -> _Handler:
        """Returns the handler with a check of the API key; an invalid request becomes the vendor's 400."""

        async def checked(request: Request) -> Response:
            if refusal := self._refusal(request.headers.get("authorization", "")):
                return refusal
            try:
                return await handler(request)
            except InvalidRequest as invalid:
                return JSONResponse(openai_error(400, invalid.message, param=invalid.param, code=invalid.code), 400)

        return checked

    def _refusal(self, authorization: str) -> Response | None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            return JSONResponse(openai_error(401, "You didn't provide an API key.", code="missing_api_key"), 401)
        return JSONResponse(openai_error(401), 401) if self._api_key not in (None, key) else None

    async def complete(self, request: Request) -> Response:
        body = await request.body()
        chat = parse(body)
        if not chat.model.startswith(_MODEL_FAMILIES):
            return _model_not_found(chat.model)
        turn = take_turn(self._seed, chat.messages, chat.callable_tools, parallel=chat.parallel_tool_calls)
        digest = hashlib.sha256(f"{self._seed}".encode() + body).hexdigest()
        answer = Answer(chat, turn, digest[:29], int(time.time()))
        headers = {"x-request-id": f"req_{digest[:32]}"}
        if chat.stream:
            return StreamingResponse(self._events(answer), headers=headers, media_type="text/event-stream")
        await self._wait(_FIRST_TOKEN_SECONDS + answer.usage["completion_tokens"] / _TOKENS_PER_SECOND)
        return JSONResponse(answer.completion(), headers=headers)

    async def _events(self, answer: Answer) -> AsyncIterator[str]:
        pending_seconds, due = _FIRST_TOKEN_SECONDS / self._speed, ""
        for number, chunk in enumerate(answer.chunks()):
            waits = pending_seconds >= _MIN_SLEEP_SECONDS
            if due and (waits or number <= _SINGLE_CHUNKS):
                yield due
                due = ""
            if waits:
                await asyncio.sleep(pending_seconds)
                pending_seconds = 0.0
            due += f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
            pending_seconds += 1 / _TOKENS_PER_SECOND / self._speed
        yield f"{due}data: [DONE]\n\n"

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


async def _models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_model_resource(model) for model in _MODELS]})


async def _model(request: Request) -> Response:
    model = str(request.path_params["model"])
    return JSONResponse(_model_resource(model)) if model.startswith(_MODEL_FAMILIES) else _model_not_found(model)


def _model_resource(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 1735689600, "owned_by": "system"}


def _model_not_found(model: str) -> Response:
    message = f"The model '{model}' does not exist or you do not have access to it."
    return JSONResponse(openai_error(404, message, param="model", code="model_not_found"), 404)


def create_app(*, seed: int = 1, speed: float = 1.0, api_key: str | None = None) -> Starlette:
    """Returns OpenAI's API under `/v1` as an app. `api_key` None accepts any key; `speed` divides every wait.

    The answer depends only on the seed and the request's messages.
    """
    vendor = _OpenAI(seed, speed, api_key)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", vendor.authenticated(vendor.complete), methods=["POST"]),
            Route("/v1/models", vendor.authenticated(_models)),
            Route("/v1/models/{model}", vendor.authenticated(_model)),
        ]
    )
