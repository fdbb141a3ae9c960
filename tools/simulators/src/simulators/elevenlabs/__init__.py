"""ElevenLabs' wire protocol: speech synthesis, streamed while it is made, and the account's resources."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulators.elevenlabs.account import LANGUAGES_OF_MODEL, models, user, voices
from simulators.elevenlabs.audio_formats import DEFAULT_FORMAT, FORMATS, AudioFormat
from simulators.elevenlabs.clips import Clip, Clips
from simulators.vendor_errors import elevenlabs_error

DEFAULT_CONCURRENCY = 30
_FIRST_BYTE_SECONDS = 0.1
# The vendor uses two names for the same refusal; clients must accept both.
_CONCURRENCY_ERRORS = ("too_many_concurrent_requests", "concurrent_limit_exceeded")
_Handler = Callable[[Request], Awaitable[Response]]


class VoiceSettings(BaseModel):
    """The only voice setting with an effect here: `speed`; 1 is the voice's normal speed."""

    speed: float | None = Field(default=None, ge=0.7, le=1.2)


class SynthesisRequest(BaseModel):
    """The body of a synthesis request. Fields without an effect here are accepted and ignored."""

    text: str
    model_id: str = "eleven_multilingual_v2"
    language_code: str | None = None
    voice_settings: VoiceSettings | None = None

    @property
    def speed(self) -> float:
        """The speed of the voice; 1 is its normal speed."""
        return (self.voice_settings and self.voice_settings.speed) or 1.0


class _Refused(Exception):
    """A request that the vendor answers with an error document."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(name)
        self.response = JSONResponse(elevenlabs_error(status, name, message), status)


class _ConcurrencyLimit:
    """The limit of concurrent syntheses, as the vendor's plans define it."""

    def __init__(self, limit: int) -> None:
        self._available = limit
        self._error_names = itertools.cycle(_CONCURRENCY_ERRORS)

    def acquire(self) -> None:
        if self._available == 0:
            message = "You have reached the maximum number of concurrent requests of your subscription."
            raise _Refused(429, next(self._error_names), message)
        self._available -= 1

    def release(self) -> None:
        self._available += 1


class _LimitedStream(StreamingResponse):
    """A streamed answer that counts towards the concurrency limit until it ends, for any reason."""

    def __init__(self, content: AsyncIterator[bytes], limit: _ConcurrencyLimit, output: AudioFormat) -> None:
        super().__init__(content, media_type=output.media_type)
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._limit.release()


class _ElevenLabs:
    def __init__(self, speed: float, api_key: str | None, concurrency: int) -> None:
        self._speed = speed
        self._api_key = api_key
        self._limit = _ConcurrencyLimit(concurrency)
        self._clips = Clips()

    def authenticated(self, handler: _Handler) -> _Handler:
        """Returns the handler with a check of the API key; refusals become the vendor's error documents."""

        async def checked(request: Request) -> Response:
            try:
                self._authenticate(request.headers.get("xi-api-key"))
                return await handler(request)
            except _Refused as refused:
                return refused.response
            except ValidationError as error:
                return _unprocessable(error)

        return checked

    def _authenticate(self, key: str | None) -> None:
        if not key:
            message = "Neither authorization header nor xi-api-key received, please provide one."
            raise _Refused(401, "needs_authorization", message)
        if self._api_key not in (None, key):
            raise _Refused(401, "invalid_api_key", "Invalid API key")

    async def synthesize(self, request: Request) -> Response:
        output = _output_format(request)
        body = SynthesisRequest.model_validate_json(await request.body())
        _check(body)
        self._limit.acquire()
        voice = str(request.path_params["voice_id"])
        audio = self._audio(Clip(body.text, voice, output, body.speed))
        response = _LimitedStream(audio, self._limit, output)
        response.headers["character-cost"] = str(len(body.text))
        response.headers["request-id"] = hashlib.sha256(f"{voice}:{body.text}".encode()).hexdigest()[:20]
        return response

    async def _audio(self, clip: Clip) -> AsyncIterator[bytes]:
        await asyncio.sleep(_FIRST_BYTE_SECONDS / self._speed)
        async for piece in self._clips.pieces(clip):
            yield piece


def _output_format(request: Request) -> AudioFormat:
    name = request.query_params.get("output_format", DEFAULT_FORMAT)
    if name not in FORMATS:
        accepted = " or ".join(f"'{format_name}'" for format_name in FORMATS)
        raise _UnknownFormat(name, f"Input should be {accepted}")
    return FORMATS[name]


class _UnknownFormat(_Refused):
    def __init__(self, name: str, message: str) -> None:
        super().__init__(422, "", "")
        detail = {"type": "enum", "loc": ["query", "output_format"], "msg": message, "input": name}
        self.response = JSONResponse({"detail": [detail]}, 422)


def _check(body: SynthesisRequest) -> None:
    if not body.text.strip():
        raise _Refused(400, "input_text_empty", "Input text should not be empty.")
    if body.model_id not in LANGUAGES_OF_MODEL:
        message = f"A model with model ID {body.model_id} does not exist."
        raise _Refused(400, "model_not_found", message)
    if body.language_code and body.language_code not in LANGUAGES_OF_MODEL[body.model_id]:
        message = f"Model {body.model_id} does not support language_code {body.language_code}."
        raise _Refused(400, "unsupported_language", message)


def _unprocessable(error: ValidationError) -> JSONResponse:
    detail = [
        {"type": item["type"], "loc": ["body", *item["loc"]], "msg": item["msg"]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return JSONResponse({"detail": detail}, 422)


def create_app(*, speed: float = 1.0, api_key: str | None = None, concurrency: int = DEFAULT_CONCURRENCY) -> Starlette:
    """Returns ElevenLabs' API as an app.

    `api_key` None accepts any key. More than `concurrency` syntheses at a time are answered with 429. `speed` divides
    the latency of the first byte; the audio itself always has its natural length.
    """
    vendor = _ElevenLabs(speed, api_key, concurrency)
    synthesis = vendor.authenticated(vendor.synthesize)
    return Starlette(
        routes=[
            Route("/v1/text-to-speech/{voice_id}", synthesis, methods=["POST"]),
            Route("/v1/text-to-speech/{voice_id}/stream", synthesis, methods=["POST"]),
            Route("/v1/voices", vendor.authenticated(voices)),
            Route("/v1/models", vendor.authenticated(models)),
            Route("/v1/user", vendor.authenticated(user)),
        ]
    )
