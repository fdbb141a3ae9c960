"""ElevenLabs' wire protocol: synthesis over HTTP and WebSockets, realtime transcription, the account's resources."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from simulators import tone_speech
from simulators.elevenlabs.account import models, user, voices
from simulators.elevenlabs.alignment import SpokenPiece, spoken_pieces
from simulators.elevenlabs.audio_formats import DEFAULT_FORMAT
from simulators.elevenlabs.clips import Clip, Clips
from simulators.elevenlabs.control import Control
from simulators.elevenlabs.speech_contexts import Synthesizer
from simulators.elevenlabs.speech_socket import SpeechSocket
from simulators.elevenlabs.synthesis import (
    ConcurrencyLimit,
    Refused,
    SynthesisRequest,
    check_key,
    check_model,
    check_text,
    output_format,
)
from simulators.elevenlabs.timing import Timing
from simulators.elevenlabs.transcription_socket import Transcriber, TranscriptionSession
from simulators.elevenlabs.usage import Usage
from simulators.spoken_words import SpokenWords
from simulators.tone_speech import Speak

DEFAULT_CONCURRENCY = 30
_FIRST_BYTE_SECONDS = 0.1
_Handler = Callable[[Request], Awaitable[Response]]


class _LimitedStream(StreamingResponse):
    """A streamed answer that counts towards the concurrency limit until it ends, for any reason."""

    def __init__(self, content: AsyncIterator[bytes], limit: ConcurrencyLimit, media_type: str) -> None:
        super().__init__(content, media_type=media_type)
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._limit.release()


class _ElevenLabs:
    def __init__(self, api_key: str | None, synthesizer: Synthesizer, transcriber: Transcriber) -> None:
        self._api_key = api_key
        self._synthesizer, self._transcriber = synthesizer, transcriber

    def authenticated(self, handler: _Handler) -> _Handler:
        """Returns the handler with a check of the API key; refusals become the vendor's error documents."""

        async def checked(request: Request) -> Response:
            try:
                check_key(request.headers.get("xi-api-key"), self._api_key)
                return await handler(request)
            except Refused as refused:
                return refused.response
            except ValidationError as error:
                return _unprocessable(error)

        return checked

    async def synthesize(self, request: Request) -> Response:
        """Answers with audio."""
        clip = await self._clip(request)
        return self._answer(clip, (piece.audio async for piece in self._pieces(clip)), clip.output.media_type)

    async def synthesize_with_timestamps(self, request: Request) -> Response:
        """Answers with one JSON document per piece of audio, with the times of its characters."""
        clip = await self._clip(request)
        return self._answer(clip, (_timed_line(piece) async for piece in self._pieces(clip)), "application/json")

    async def serve_speech_socket(self, websocket: WebSocket) -> None:
        """Serves `multi-stream-input`."""
        await SpeechSocket(websocket, self._synthesizer, self._api_key).serve()

    async def serve_transcription(self, websocket: WebSocket) -> None:
        """Serves realtime transcription."""
        await TranscriptionSession(websocket, self._transcriber).serve()

    async def _clip(self, request: Request) -> Clip:
        output = output_format(request.query_params.get("output_format", DEFAULT_FORMAT))
        body = SynthesisRequest.model_validate_json(await request.body())
        check_text(body.text)
        check_model(body.model_id, body.language_code)
        return Clip(body.text, str(request.path_params["voice_id"]), output, body.speed)

    def _answer(self, clip: Clip, content: AsyncIterator[bytes], media_type: str) -> Response:
        self._synthesizer.limit.acquire()
        self._synthesizer.usage.characters += len(clip.text)
        response = _LimitedStream(content, self._synthesizer.limit, media_type)
        response.headers["character-cost"] = str(len(clip.text))
        response.headers["request-id"] = hashlib.sha256(f"{clip.voice}:{clip.text}".encode()).hexdigest()[:20]
        return response

    async def _pieces(self, clip: Clip) -> AsyncIterator[SpokenPiece]:
        await asyncio.sleep(_FIRST_BYTE_SECONDS / self._synthesizer.speed)
        async for piece in spoken_pieces(self._synthesizer.clips, clip):
            yield piece


def _timed_line(piece: SpokenPiece) -> bytes:
    alignment = piece.relative_to_clip()
    audio = base64.b64encode(piece.audio).decode()
    line = {"audio_base64": audio, "alignment": alignment, "normalized_alignment": alignment}
    return json.dumps(line).encode() + b"\n"


def _unprocessable(error: ValidationError) -> JSONResponse:
    detail = [
        {"type": item["type"], "loc": ["body", *item["loc"]], "msg": item["msg"]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return JSONResponse({"detail": detail}, 422)


def create_app(
    *,
    speed: float = 1.0,
    api_key: str | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    seed: int = 1,
    timing: Timing | None = None,
    words: SpokenWords | None = None,
    speak: Speak = tone_speech.speak,
) -> Starlette:
    """Returns ElevenLabs' API as an app. `app.state.usage` is the Usage of its clients.

    `api_key` None accepts any key. More than `concurrency` syntheses at a time are answered with 429. `speed` divides
    all latencies; the audio itself always has its natural length. `words` are what callees say: nothing is transcribed
    without them. `speak` makes the speech. The control route replaces `timing`.
    """
    usage, timing = Usage(), timing or Timing()
    synthesizer = Synthesizer(Clips(speak), ConcurrencyLimit(concurrency), usage, speed, timing.speech)
    transcriber = Transcriber(words or SpokenWords(), usage, speed, timing.transcription, seed, api_key)
    vendor = _ElevenLabs(api_key, synthesizer, transcriber)
    synthesis = vendor.authenticated(vendor.synthesize)
    with_timestamps = vendor.authenticated(vendor.synthesize_with_timestamps)
    voice = "/v1/text-to-speech/{voice_id}"
    app = Starlette(
        routes=[
            Route(voice, synthesis, methods=["POST"]),
            Route(f"{voice}/stream", synthesis, methods=["POST"]),
            Route(f"{voice}/stream/with-timestamps", with_timestamps, methods=["POST"]),
            WebSocketRoute(f"{voice}/multi-stream-input", vendor.serve_speech_socket),
            WebSocketRoute("/v1/speech-to-text/realtime", vendor.serve_transcription),
            Route("/v1/voices", vendor.authenticated(voices)),
            Route("/v1/models", vendor.authenticated(models)),
            Route("/v1/user", vendor.authenticated(user)),
            *Control(synthesizer, transcriber, usage).routes(),
        ]
    )
    app.state.usage = usage
    return app
