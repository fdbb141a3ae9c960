"""ElevenLabs' streamed synthesis through the official SDK. The only module that imports it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from contracts import AudioRequested
from providers import Failure, Provider, RequestFailed
from voice.domain.clips import Recipe

OUTPUT_FORMAT = "mp3_22050_32"
"""More than a telephone line carries, and a tenth of the bytes of the vendor's default."""
CONNECTION_SECONDS = 10
"""The network's own limit; the sentence's deadline is shorter."""
NEXT_PIECE_SECONDS = 5.0
WHOLE_SENTENCE_SECONDS = 60.0
_PIECE_BYTES = 512
_ENFORCES_LANGUAGE = "_v2_5"
"""Models with this ending take a language code; the others answer 400 to it."""


Account = AsyncElevenLabs


class ElevenLabs:
    """The port `Speech`. `only_voice`: the default voice speaks also what was asked for in another one."""

    name = "elevenlabs"

    def __init__(
        self, client: AsyncElevenLabs, provider: Provider, *, voice: str, model: str, only_voice: bool = False
    ) -> None:
        self._client = client
        self._provider = provider
        self._voice = voice
        self._model = model
        self._only_voice = only_voice

    def recipe(self, request: AudioRequested) -> Recipe:
        """The voice's own settings are used; a change of them in the account is not seen by the digest."""
        language = request.language.split("-")[0] if self._model.endswith(_ENFORCES_LANGUAGE) else ""
        voice = self._voice if self._only_voice else request.voice or self._voice
        return Recipe(voice, self._model, (OUTPUT_FORMAT, language), request.text)

    def synthesize(self, recipe: Recipe, *, first_by: float) -> AsyncGenerator[bytes, None]:
        """MP3 as it is made. A piece that is overdue ends it, and so does a sentence that does not end."""
        return self._provider.stream(self._pieces(recipe, first_by), first_by=first_by)

    async def _pieces(self, recipe: Recipe, first_by: float) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        end = clock() + WHOLE_SENTENCE_SECONDS
        async with aclosing(self._stream(recipe)) as pieces:
            until = first_by
            while piece := await _next_piece(pieces, min(until, end)):
                yield piece
                until = clock() + NEXT_PIECE_SECONDS

    def _stream(self, recipe: Recipe) -> AsyncGenerator[bytes, None]:
        _, language = recipe.settings
        stream = self._client.text_to_speech.stream(
            recipe.voice,
            text=recipe.text,
            model_id=recipe.model,
            output_format=OUTPUT_FORMAT,
            language_code=language or None,
            request_options={
                "chunk_size": _PIECE_BYTES,
                "max_retries": 0,
                "timeout_in_seconds": CONNECTION_SECONDS,
            },
        )
        return cast("AsyncGenerator[bytes, None]", stream)


async def _next_piece(pieces: AsyncGenerator[bytes, None], until: float) -> bytes:
    """The next piece; empty at the end. Raises RequestFailed."""
    try:
        async with asyncio.timeout_at(until):
            return await anext(pieces, b"")
    except ApiError as error:
        raise RequestFailed(_failure(error.status_code or 0), _reason(error)) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise RequestFailed(Failure.DEADLINE, type(error).__name__) from error
    except httpx.ConnectError as error:
        raise RequestFailed(Failure.UNREACHABLE, type(error).__name__) from error
    except Exception as error:  # the network's, or an answer that the SDK cannot read
        raise RequestFailed(Failure.CUT_OFF, type(error).__name__) from error


def _failure(status: int) -> Failure:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Failure.RATE_LIMITED
    return Failure.SERVER_ERROR if status >= httpx.codes.INTERNAL_SERVER_ERROR else Failure.REFUSED


def _reason(error: ApiError) -> str:
    """The status and the vendor's name for it; a 422's detail is a list, and may repeat the text: left out."""
    detail = error.body.get("detail") if isinstance(error.body, dict) else None
    name = detail.get("status") if isinstance(detail, dict) else None
    return f"HTTP {error.status_code} {name}" if name else f"HTTP {error.status_code}"


@asynccontextmanager
async def connect(*, api_key: str, base_url: str) -> AsyncIterator[AsyncElevenLabs]:
    """A client of one account, whose connections are closed at the end."""
    async with httpx.AsyncClient(timeout=CONNECTION_SECONDS) as http:
        yield AsyncElevenLabs(api_key=api_key, base_url=base_url.rstrip("/"), httpx_client=http)
