"""`/v1/speech-to-text/realtime`: sessions of realtime transcription on WebSockets."""

import asyncio
import contextlib
import random
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from simulators.elevenlabs.synthesis import Refused, check_key
from simulators.elevenlabs.timing import TranscriptionTiming
from simulators.elevenlabs.transcription import Answer, Transcription
from simulators.elevenlabs.transcription_messages import (
    InputAudioChunk,
    SessionError,
    TranscriptionQuery,
    error_message,
    parse_chunk,
    parse_query,
    session_started,
)
from simulators.elevenlabs.usage import Usage
from simulators.elevenlabs.vendor_socket import VendorSocket
from simulators.spoken_words import SpokenWords

_MAX_PENDING_ANSWERS = 1000


@dataclass
class Transcriber:
    """The vendor's part that all sessions share. `speed` is the number of simulated seconds per real second."""

    words: SpokenWords
    usage: Usage
    speed: float
    timing: TranscriptionTiming
    seed: int
    api_key: str | None

    def draws(self) -> random.Random:
        """Returns the random numbers of the next session."""
        return random.Random(f"{self.seed}:transcription:{self.usage.transcription_sessions}")


class TranscriptionSession:
    """One socket, from its handshake to its end.

    A message that is not valid is answered with an error, and the session goes on, as users report. An error of the
    handshake ends it. Answers are sent in the order in which they were caused.
    """

    def __init__(self, websocket: WebSocket, transcriber: Transcriber) -> None:
        self._websocket, self._transcriber = websocket, transcriber
        self._socket = VendorSocket(websocket)
        self._answers: asyncio.Queue[tuple[float, Answer]] = asyncio.Queue(_MAX_PENDING_ANSWERS)
        self._received_at: float | None = None

    async def serve(self) -> None:
        """Serves the client until one side closes the socket."""
        await self._websocket.accept()
        draws = self._transcriber.draws()
        usage = self._transcriber.usage
        with usage.transcription_session(), contextlib.suppress(WebSocketDisconnect):
            try:
                query = self._handshake()
                await self._socket.send(session_started(f"{draws.getrandbits(128):032x}", query))
                timing, words = self._transcriber.timing, self._transcriber.words
                await self._serve(query, Transcription(query, timing, words, draws, usage))
            except SessionError as error:
                await self._socket.send(error_message(error.kind, str(error)))
                await self._socket.close(1008, str(error))

    def _handshake(self) -> TranscriptionQuery:
        key = self._websocket.headers.get("xi-api-key") or self._websocket.query_params.get("token")
        try:
            check_key(key, self._transcriber.api_key)
        except Refused as refused:
            raise SessionError("auth_error", refused.message) from refused
        return parse_query(self._websocket.query_params)

    async def _serve(self, query: TranscriptionQuery, transcription: Transcription) -> None:
        sender = asyncio.create_task(self._send_answers())
        try:
            while True:
                text = await self._socket.receive()
                try:
                    self._handle(parse_chunk(text), query, transcription)
                except SessionError as error:
                    if error.is_fatal:
                        raise
                    self._answer([Answer(error_message(error.kind, str(error)))])
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _handle(self, chunk: InputAudioChunk, query: TranscriptionQuery, transcription: Transcription) -> None:
        is_first, now = self._received_at is None, asyncio.get_running_loop().time()
        if chunk.sample_rate != query.sample_rate:
            raise SessionError("input_error", f"sample_rate must be {query.sample_rate}, as audio_format says.")
        if chunk.previous_text is not None and not is_first:
            raise SessionError("input_error", "previous_text can only be sent with the first chunk of audio.")
        audio = chunk.decode()
        if self._received_at is not None:
            transcription.pause(now - self._received_at)
        self._received_at = now
        self._answer(transcription.receive(audio))
        if chunk.commit:
            self._answer(transcription.commit())

    def _answer(self, answers: list[Answer]) -> None:
        now = asyncio.get_running_loop().time()
        for answer in answers:
            if self._answers.full():
                raise SessionError("queue_overflow", "The client does not read its answers.", is_fatal=True)
            self._answers.put_nowait((now + answer.delay_seconds / self._transcriber.speed, answer))

    async def _send_answers(self) -> None:
        while True:
            due, answer = await self._answers.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._socket.send(answer.message)
