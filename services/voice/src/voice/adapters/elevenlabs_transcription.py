"""Realtime transcription of ElevenLabs, over its WebSocket."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import aiohttp
import structlog

from providers import Failure, Provider, RequestFailed
from voice.adapters.vendor_sockets import VendorSocket, open_socket
from voice.domain.live import transcription
from voice.domain.live.transcription import (
    CommittedTranscript,
    ErrorKind,
    PartialTranscript,
    TranscriptionError,
)

PATH = "/v1/speech-to-text/realtime"
_FAILURES = {
    ErrorKind.AUTH: Failure.ACCOUNT,
    ErrorKind.UNACCEPTED_TERMS: Failure.ACCOUNT,
    ErrorKind.QUOTA_EXCEEDED: Failure.REFUSED,
    ErrorKind.INVALID_REQUEST: Failure.REFUSED,
    ErrorKind.RATE_LIMITED: Failure.RATE_LIMITED,
    ErrorKind.RESOURCE_EXHAUSTED: Failure.RATE_LIMITED,
}

logger = structlog.get_logger()


class ElevenLabsTranscriber:
    """Implements `voice.ports.Transcriber`. `url` is the vendor's base URL for WebSockets."""

    def __init__(self, http: aiohttp.ClientSession, provider: Provider, *, api_key: str, url: str) -> None:
        self._http = http
        self._provider = provider
        self._api_key = api_key
        self._url = url + PATH

    @asynccontextmanager
    async def open(self, *, language: str, previous_text: str | None = None) -> AsyncIterator["_Session"]:
        """See the interface."""
        query = transcription.connection_query(language=language)
        async with open_socket(self._http, self._provider, self._url, api_key=self._api_key, query=query) as socket:
            yield _Session(socket, previous_text)


class _Session:
    """Implements `voice.ports.Transcription`."""

    def __init__(self, socket: VendorSocket, previous_text: str | None) -> None:
        self._socket = socket
        self._previous_text = previous_text

    def feed(self, audio: bytes, *, is_commit: bool = False) -> None:
        """See the interface."""
        message = transcription.audio(audio, is_commit=is_commit, previous_text=self._previous_text)
        self._previous_text = None
        self._socket.send(message)

    async def transcripts(self) -> AsyncGenerator[PartialTranscript | CommittedTranscript | TranscriptionError, None]:
        """See the interface. The vendor's explanation of an error may contain words: only its kind is logged."""
        async with aclosing(self._socket.messages()) as messages:
            async for text in messages:
                match transcription.parse(text):
                    case PartialTranscript() | CommittedTranscript() as transcript:
                        yield transcript
                    case TranscriptionError(kind=kind) as error:
                        logger.warning("transcription_error", kind=kind.value)
                        if error.is_fatal:
                            raise RequestFailed(_FAILURES.get(kind, Failure.SERVER_ERROR), kind.value)
                        yield error
