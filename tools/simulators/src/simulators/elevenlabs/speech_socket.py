"""`/v1/text-to-speech/{voice_id}/multi-stream-input`: several contexts of speech on one WebSocket."""

import asyncio
import contextlib

from starlette.websockets import WebSocket, WebSocketDisconnect

from simulators.elevenlabs.account import MODELS_WITHOUT_SOCKETS
from simulators.elevenlabs.speech_contexts import Contexts, Synthesizer, Voice
from simulators.elevenlabs.speech_messages import (
    MAX_CONTEXTS,
    ClientMessage,
    SpeechQuery,
    error_message,
    inactive,
    parse_message,
    parse_query,
    too_many_contexts,
)
from simulators.elevenlabs.synthesis import Refused, check_key, check_model, output_format
from simulators.elevenlabs.vendor_socket import VendorSocket


class SpeechSocket:
    """One socket, from its handshake to its end."""

    def __init__(self, websocket: WebSocket, synthesizer: Synthesizer, api_key: str | None) -> None:
        self._websocket, self._synthesizer = websocket, synthesizer
        self._socket = VendorSocket(websocket)
        self._expected_key = api_key
        self._is_authenticated = False

    async def serve(self) -> None:
        """Serves the client until one side closes the socket."""
        await self._websocket.accept()
        with self._synthesizer.usage.speech_socket():
            try:
                query, voice = self._handshake()
                contexts = Contexts(voice, self._synthesizer, self._socket.send, self._fail)
                try:
                    await self._serve(query, contexts)
                finally:
                    await contexts.abandon()
            except (Refused, WebSocketDisconnect) as error:
                await self._fail(error)

    def _handshake(self) -> tuple[SpeechQuery, Voice]:
        if key := self._websocket.headers.get("xi-api-key"):
            check_key(key, self._expected_key)
            self._is_authenticated = True
        query = parse_query(self._websocket.query_params)
        check_model(query.model_id, query.language_code)
        if query.model_id in MODELS_WITHOUT_SOCKETS:
            raise Refused(403, "model_not_supported", f"Model {query.model_id} is not available on WebSockets.")
        voice_id = str(self._websocket.path_params["voice_id"])
        return query, Voice(voice_id, output_format(query.output_format), query.auto_mode)

    async def _serve(self, query: SpeechQuery, contexts: Contexts) -> None:
        loop = asyncio.get_running_loop()
        seconds = query.inactivity_timeout  # real ones: they measure the client
        last_input_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(contexts.oldest_input_at(last_input_at) + seconds):
                    text = await self._socket.receive()
            except TimeoutError:
                if loop.time() >= last_input_at + seconds:
                    raise inactive(query.inactivity_timeout) from None
                contexts.close_inactive(loop.time() - seconds)
                continue
            last_input_at = loop.time()
            message = parse_message(text)
            if message.close_socket:
                await contexts.finish()
                await self._socket.close()
                return
            self._handle(message, contexts, last_input_at)

    def _handle(self, message: ClientMessage, contexts: Contexts, now: float) -> None:
        context = contexts.get(message.context_id)
        if message.close_context:
            contexts.close(message.context_id)
            return
        if context is None:
            if not message.text:
                return
            if not self._is_authenticated:
                check_key(message.api_key, self._expected_key)
            if len(contexts) >= MAX_CONTEXTS:
                raise too_many_contexts()
            context = contexts.begin(message, now)
        context.last_input_at = now
        contexts.speak(context, message.text, is_flushed=bool(message.flush))

    async def _fail(self, error: Exception) -> None:
        """Sends a refusal and closes the socket. A client that has disconnected needs no answer."""
        if isinstance(error, Refused):
            with contextlib.suppress(WebSocketDisconnect):
                await self._socket.send(error_message(error))
                await self._socket.close(1008, error.message)
        elif not isinstance(error, WebSocketDisconnect):
            raise error
