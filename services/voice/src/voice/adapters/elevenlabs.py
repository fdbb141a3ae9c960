"""Streamed speech synthesis of ElevenLabs, through the official SDK. The only module that imports it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from httpx_aiohttp import HttpxAiohttpClient

from contracts import AudioRequested
from providers import Failure, Provider, RequestFailed
from providers.connections import KEEPALIVE_SECONDS, connection_failure
from voice.domain.clips import SynthesisRequest

OUTPUT_FORMAT = "mp3_22050_32"
"""Better than a telephone line, with a tenth of the bytes of the vendor's default."""
LIVE_OUTPUT_FORMAT = "ulaw_8000"
"""What a media stream takes as it is."""
CONNECTION_SECONDS = 10
"""Limit of the HTTP client; the deadline of a sentence is shorter."""
NEXT_PIECE_SECONDS = 5.0
WHOLE_SENTENCE_SECONDS = 60.0
_AS_RECEIVED = cast("int", None)
"""The SDK passes its `chunk_size` to httpx, which cuts the body anew unless it is None. The SDK's type lacks None."""
_ENFORCES_LANGUAGE = "_v2_5"
"""Models with this suffix accept a language code; the others answer 400 to it."""

Account = AsyncElevenLabs


class ElevenLabs:
    """Implements `voice.ports.Synthesizer`. With `is_only_voice`, the default voice replaces a requested one.

    The output format is part of a request's settings, so clips in two formats have two digests.
    """

    name = "elevenlabs"

    def __init__(
        self,
        client: AsyncElevenLabs,
        provider: Provider,
        *,
        voice: str,
        model: str,
        is_only_voice: bool = False,
        output_format: str = OUTPUT_FORMAT,
    ) -> None:
        self._client = client
        self._provider = provider
        self._voice = voice
        self._model = model
        self._is_only_voice = is_only_voice
        self._output_format = output_format

    def build_request(self, sentence: AudioRequested) -> SynthesisRequest:
        """Returns the request for a sentence. The account's settings of the voice apply; they are not in the digest."""
        language = enforced_language(self._model, sentence.language)
        voice = self._voice if self._is_only_voice else sentence.voice or self._voice
        return SynthesisRequest(voice, self._model, (self._output_format, language), sentence.text)

    def synthesize(self, request: SynthesisRequest, *, first_by: float) -> AsyncGenerator[bytes, None]:
        """Yields audio as it arrives. The first piece, each further one and the whole sentence have a deadline."""
        return self._provider.stream(self._pieces(request, first_by), first_by=first_by)

    async def _pieces(self, request: SynthesisRequest, first_by: float) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        sentence_deadline_at = clock() + WHOLE_SENTENCE_SECONDS
        async with aclosing(self._stream(request)) as pieces:
            piece_deadline_at = first_by
            while piece := await _next_piece(pieces, min(piece_deadline_at, sentence_deadline_at)):
                yield piece
                piece_deadline_at = clock() + NEXT_PIECE_SECONDS

    def _stream(self, request: SynthesisRequest) -> AsyncGenerator[bytes, None]:
        output_format, language = request.settings
        stream = self._client.text_to_speech.stream(
            request.voice,
            text=request.text,
            model_id=request.model,
            output_format=output_format,
            language_code=language or None,
            request_options={
                "chunk_size": _AS_RECEIVED,
                "max_retries": 0,
                "timeout_in_seconds": CONNECTION_SECONDS,
            },
        )
        return cast("AsyncGenerator[bytes, None]", stream)


def enforced_language(model: str, language: str) -> str:
    """Returns the language code that a model accepts for a BCP 47 tag; empty if it accepts none."""
    return language.split("-")[0] if model.endswith(_ENFORCES_LANGUAGE) else ""


async def _next_piece(pieces: AsyncGenerator[bytes, None], deadline_at: float) -> bytes:
    """Returns the next piece; empty at the end. Raises RequestFailed."""
    try:
        async with asyncio.timeout_at(deadline_at):
            return await anext(pieces, b"")
    except ApiError as error:
        raise RequestFailed(_failure(error.status_code or 0), _reason(error)) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise RequestFailed(connection_failure(error) or Failure.DEADLINE, type(error).__name__) from error
    except Exception as error:  # of the network, or an answer that the SDK cannot parse
        raise RequestFailed(connection_failure(error) or Failure.CUT_OFF, type(error).__name__) from error


def _failure(status: int) -> Failure:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Failure.RATE_LIMITED
    return Failure.SERVER_ERROR if status >= httpx.codes.INTERNAL_SERVER_ERROR else Failure.REFUSED


def _reason(error: ApiError) -> str:
    """Returns the status and the vendor's error name. The details of a 422 may contain the text: they are omitted."""
    detail = error.body.get("detail") if isinstance(error.body, dict) else None
    name = detail.get("status") if isinstance(detail, dict) else None
    return f"HTTP {error.status_code} {name}" if name else f"HTTP {error.status_code}"


@asynccontextmanager
async def connect(*, api_key: str, base_url: str) -> AsyncIterator[AsyncElevenLabs]:
    """Yields a client of one account, and closes its connections at the end."""
    # `ELEVENLABS_MAX_CONCURRENCY` limits the connections.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_SECONDS)
    async with HttpxAiohttpClient(timeout=CONNECTION_SECONDS, limits=limits) as http:
        yield AsyncElevenLabs(api_key=api_key, base_url=base_url.rstrip("/"), httpx_client=http)
