"""ElevenLabs on its true wire protocol: speech synthesis, streamed as it is made, and the account's lists."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulators.elevenlabs.account import LANGUAGES_OF_MODEL, models, user, voices
from simulators.elevenlabs.audio_formats import DEFAULT_FORMAT, FORMATS, AudioFormat, encode
from simulators.elevenlabs.tone_speech import speak
from simulators.vendor_errors import elevenlabs_error

DEFAULT_CONCURRENCY = 30
_FIRST_BYTE_SECONDS = 0.1
# The vendor has two names for the same refusal; clients must know both.
_BUSY_NAMES = ("too_many_concurrent_requests", "concurrent_limit_exceeded")
_Handler = Callable[[Request], Awaitable[Response]]


class VoiceSettings(BaseModel):
    """The part of the voice's settings that can be heard here: `speed`, 1 being the voice's own."""

    speed: float | None = Field(default=None, ge=0.7, le=1.2)


class Synthesis(BaseModel):
    """The body of a synthesis request. Fields that change nothing here are accepted and ignored."""

    text: str
    model_id: str = "eleven_multilingual_v2"
    language_code: str | None = None
    voice_settings: VoiceSettings | None = None

    @property
    def pace(self) -> float:
        """How fast the voice speaks; 1 is its own pace."""
        return (self.voice_settings and self.voice_settings.speed) or 1.0


class _Refusal(Exception):
    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(name)
        self.response = JSONResponse(elevenlabs_error(status, name, message), status)


class _Places:
    """How many syntheses may run at once, as the vendor's plans limit it."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._busy_names = itertools.cycle(_BUSY_NAMES)

    def take(self) -> None:
        if self._free == 0:
            message = "You have reached the maximum number of concurrent requests of your subscription."
            raise _Refusal(429, next(self._busy_names), message)
        self._free -= 1

    def give_back(self) -> None:
        self._free += 1


class _HeldStream(StreamingResponse):
    """A streamed answer that keeps its place until it has ended, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], places: _Places, output: AudioFormat) -> None:
        super().__init__(content, media_type=output.media_type)
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.give_back()


class _ElevenLabs:
    def __init__(self, speed: float, api_key: str | None, concurrency: int) -> None:
        self._speed = speed
        self._api_key = api_key
        self._places = _Places(concurrency)

    def guarded(self, handler: _Handler) -> _Handler:
        """The handler behind the key, its refusals turned into the vendor's answers."""

        async def guarded(request: Request) -> Response:
            try:
                self._authenticate(request.headers.get("xi-api-key"))
                return await handler(request)
            except _Refusal as refusal:
                return refusal.response
            except ValidationError as error:
                return _unprocessable(error)

        return guarded

    def _authenticate(self, key: str | None) -> None:
        if not key:
            message = "Neither authorization header nor xi-api-key received, please provide one."
            raise _Refusal(401, "needs_authorization", message)
        if self._api_key not in (None, key):
            raise _Refusal(401, "invalid_api_key", "Invalid API key")

    async def synthesize(self, request: Request) -> Response:
        output = _output_format(request)
        asked = Synthesis.model_validate_json(await request.body())
        _check(asked)
        self._places.take()
        voice = str(request.path_params["voice_id"])
        audio = self._audio(encode(speak(asked.text, voice, output.rate, asked.pace), output))
        response = _HeldStream(audio, self._places, output)
        response.headers["character-cost"] = str(len(asked.text))
        response.headers["request-id"] = hashlib.sha256(f"{voice}:{asked.text}".encode()).hexdigest()[:20]
        return response

    async def _audio(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        await asyncio.sleep(_FIRST_BYTE_SECONDS / self._speed)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece


def _output_format(request: Request) -> AudioFormat:
    name = request.query_params.get("output_format", DEFAULT_FORMAT)
    if name not in FORMATS:
        accepted = " or ".join(f"'{known}'" for known in FORMATS)
        raise _Unacceptable(name, f"Input should be {accepted}")
    return FORMATS[name]


class _Unacceptable(_Refusal):
    def __init__(self, name: str, message: str) -> None:
        super().__init__(422, "", "")
        detail = {"type": "enum", "loc": ["query", "output_format"], "msg": message, "input": name}
        self.response = JSONResponse({"detail": [detail]}, 422)


def _check(asked: Synthesis) -> None:
    if not asked.text.strip():
        raise _Refusal(400, "input_text_empty", "Input text should not be empty.")
    if asked.model_id not in LANGUAGES_OF_MODEL:
        message = f"A model with model ID {asked.model_id} does not exist."
        raise _Refusal(400, "model_not_found", message)
    if asked.language_code and asked.language_code not in LANGUAGES_OF_MODEL[asked.model_id]:
        message = f"Model {asked.model_id} does not support language_code {asked.language_code}."
        raise _Refusal(400, "unsupported_language", message)


def _unprocessable(error: ValidationError) -> JSONResponse:
    detail = [
        {"type": one["type"], "loc": ["body", *one["loc"]], "msg": one["msg"]}
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return JSONResponse({"detail": detail}, 422)


def create_app(*, speed: float = 1.0, api_key: str | None = None, concurrency: int = DEFAULT_CONCURRENCY) -> Starlette:
    """ElevenLabs' API. `api_key` None accepts any key; above `concurrency` syntheses at once it answers 429.

    `speed` divides the latency of the first byte; the audio itself always has its natural length.
    """
    vendor = _ElevenLabs(speed, api_key, concurrency)
    synthesis = vendor.guarded(vendor.synthesize)
    return Starlette(
        routes=[
            Route("/v1/text-to-speech/{voice_id}", synthesis, methods=["POST"]),
            Route("/v1/text-to-speech/{voice_id}/stream", synthesis, methods=["POST"]),
            Route("/v1/voices", vendor.guarded(voices)),
            Route("/v1/models", vendor.guarded(models)),
            Route("/v1/user", vendor.guarded(user)),
        ]
    )
