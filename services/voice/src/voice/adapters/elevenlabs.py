"""ElevenLabs' streamed synthesis through the official SDK. The only module that imports it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from contracts import AudioRequested
from voice.domain.clips import Recipe
from voice.ports import SpeechFailed

OUTPUT_FORMAT = "mp3_22050_32"
"""More than a telephone line carries, and a tenth of the bytes of the vendor's default."""
FREE_PLACE_SECONDS = 8.0
"""A sentence that has to wait longer for its turn at the vendor comes too late to be heard."""
FIRST_PIECE_SECONDS = 6.0
NEXT_PIECE_SECONDS = 5.0
WHOLE_SENTENCE_SECONDS = 60.0
_PIECE_BYTES = 512
_ENFORCES_LANGUAGE = "_v2_5"
"""Models with this ending take a language code; the others answer 400 to it."""


class ElevenLabs:
    """The port `Speech`. At most `max_concurrency` syntheses at once, first come, first served."""

    name = "elevenlabs"

    def __init__(self, client: AsyncElevenLabs, *, voice: str, model: str, max_concurrency: int) -> None:
        self._client = client
        self._voice = voice
        self._model = model
        self._places = asyncio.Semaphore(max_concurrency)

    def recipe(self, request: AudioRequested) -> Recipe:
        """The voice's own settings are used; a change of them in the account is not seen by the digest."""
        language = request.language.split("-")[0] if self._model.endswith(_ENFORCES_LANGUAGE) else ""
        return Recipe(request.voice or self._voice, self._model, (OUTPUT_FORMAT, language), request.text)

    async def synthesize(self, recipe: Recipe) -> AsyncGenerator[bytes, None]:
        """MP3 as it is made. A piece that is overdue ends it, and so does a sentence that does not end."""
        async with self._place():
            clock = asyncio.get_running_loop().time
            end = clock() + WHOLE_SENTENCE_SECONDS
            async with aclosing(self._stream(recipe)) as pieces:
                wait = FIRST_PIECE_SECONDS
                while piece := await _next_piece(pieces, min(wait, end - clock())):
                    yield piece
                    wait = NEXT_PIECE_SECONDS

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(FREE_PLACE_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            raise SpeechFailed("too many sentences at once") from error
        try:
            yield
        finally:
            self._places.release()

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
                "timeout_in_seconds": int(FIRST_PIECE_SECONDS),
            },
        )
        return cast("AsyncGenerator[bytes, None]", stream)


async def _next_piece(pieces: AsyncGenerator[bytes, None], seconds: float) -> bytes:
    """The next piece; empty at the end. Raises SpeechFailed."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(pieces, b"")
    except ApiError as error:
        raise SpeechFailed(_reason(error)) from error
    except Exception as error:  # the network's, the deadline's, or an answer that the SDK cannot read
        raise SpeechFailed(type(error).__name__) from error


def _reason(error: ApiError) -> str:
    """The status and the vendor's name for it; a 422's detail is a list, and may repeat the text: left out."""
    detail = error.body.get("detail") if isinstance(error.body, dict) else None
    name = detail.get("status") if isinstance(detail, dict) else None
    return f"HTTP {error.status_code} {name}" if name else f"HTTP {error.status_code}"


@asynccontextmanager
async def connect(
    *, api_key: str, base_url: str, voice: str, model: str, max_concurrency: int
) -> AsyncIterator[ElevenLabs]:
    """A client whose connections are closed at the end."""
    async with httpx.AsyncClient(timeout=FIRST_PIECE_SECONDS) as http:
        client = AsyncElevenLabs(api_key=api_key, base_url=base_url.rstrip("/"), httpx_client=http)
        yield ElevenLabs(client, voice=voice, model=model, max_concurrency=max_concurrency)
