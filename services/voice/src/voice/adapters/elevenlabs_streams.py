"""Speech synthesis of ElevenLabs over one WebSocket a call (`multi-stream-input`)."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import aiohttp

from providers import Provider
from voice.adapters.elevenlabs import enforced_language
from voice.adapters.vendor_sockets import VendorSocket, open_socket
from voice.domain.live import speech_stream
from voice.domain.live.speech_stream import ContextFinished, SpokenAudio, SynthesisError

PATH = "/v1/text-to-speech/{voice}/multi-stream-input"


class ElevenLabsStreams:
    """Implements `voice.ports.SpeechStreams`. `url` is the vendor's base URL for WebSockets."""

    name = "elevenlabs"

    def __init__(
        self, http: aiohttp.ClientSession, provider: Provider, *, api_key: str, url: str, voice: str, model: str
    ) -> None:
        self._http = http
        self._provider = provider
        self._api_key = api_key
        self._url = url
        self._voice = voice
        self._model = model

    @asynccontextmanager
    async def open(self, *, language: str, voice: str | None) -> AsyncIterator["_Stream"]:
        """See the interface."""
        url = self._url + PATH.format(voice=voice or self._voice)
        query = speech_stream.connection_query(
            model=self._model, language=enforced_language(self._model, language) or None
        )
        async with open_socket(self._http, self._provider, url, api_key=self._api_key, query=query) as socket:
            yield _Stream(socket)


class _Stream:
    """Implements `voice.ports.SpeechStream`."""

    def __init__(self, socket: VendorSocket) -> None:
        self._socket = socket

    def begin(self, context: str) -> None:
        """See the interface."""
        self._socket.send(speech_stream.begin(context))

    def speak(self, context: str, text: str) -> None:
        """See the interface. The flush has the sentence spoken at once."""
        self._socket.send(speech_stream.speak(context, text))

    def close(self, context: str) -> None:
        """See the interface."""
        self._socket.send(speech_stream.close_context(context))

    async def messages(self) -> AsyncGenerator[SpokenAudio | ContextFinished | SynthesisError, None]:
        """See the interface. The text of an error may contain words: it is not logged."""
        async with aclosing(self._socket.messages()) as messages:
            async for text in messages:
                message = speech_stream.parse(text)
                if isinstance(message, SpokenAudio | ContextFinished | SynthesisError):
                    yield message
