"""One call of the floor bot: its three sockets, its fixed policy, and its playout clock."""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from aiohttp import web

from bench.live import conditions

FRAME_BYTES, FRAME_SECONDS = 160, 0.02
_MESSAGE_BYTES = 5 * FRAME_BYTES
_COMMIT_FRAMES = round(conditions.COMMIT_AFTER_SECONDS / FRAME_SECONDS)
_TURN_OVER_FRAMES = round(conditions.TURN_OVER_SECONDS / FRAME_SECONDS)
_SPEECH_FRAMES, _SPEECH_WINDOW = 3, 5
_BARGE_IN_FRAMES, _BARGE_IN_WINDOW = 5, 7
_LOUDNESS = bytes(~byte & 0x7F for byte in range(256))
"""The magnitude of a mu-law byte, 0 to 127, for `bytes.translate`."""
_VOICED = 48


@dataclass
class Turn:
    """The latencies of one turn, named as in `contracts.TurnLatencies`."""

    call_sid: str
    turn: int
    endpoint_seconds: float
    first_sentence_seconds: float = 0.0
    synthesis_seconds: float | None = None
    playout_seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)


class FloorCall:
    """One call. All times are monotonic: the time of uvloop has whole milliseconds only."""

    def __init__(
        self,
        telephone: web.WebSocketResponse,
        transcriber: aiohttp.ClientWebSocketResponse,
        synthesizer: aiohttp.ClientWebSocketResponse,
        sentences: Callable[[str], AsyncIterator[str]],
        turns: list[Turn],
    ) -> None:
        self._telephone, self._transcriber, self._synthesizer = telephone, transcriber, synthesizer
        self._sentences = sentences
        self._turns = turns
        self._now = time.monotonic
        self._stream_sid = self._call_sid = ""
        self._unsent = bytearray()
        self._recent: deque[bool] = deque([False] * _BARGE_IN_WINDOW, _BARGE_IN_WINDOW)
        self._is_speech = self._is_committed = False
        self._silent_frames = 0
        self._last_voiced_at = 0.0
        self._text: list[str] = []
        self._audio = bytearray()
        self._audio_arrived = asyncio.Event()
        self._context = 0
        self._is_finished = True
        self._played_until = 0.0
        self._turn: Turn | None = None
        self._stage_at = 0.0
        self._reply: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Conducts the call until one of its sockets is closed."""
        tasks = [
            asyncio.create_task(one)
            for one in (self._read_telephone(), self._read_transcriber(), self._read_synthesizer(), self._play())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ConnectionError:  # the telephone has hung up while something was sent
            return
        finally:
            for one in [*tasks, *([self._reply] if self._reply else [])]:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_telephone(self) -> None:
        async for message in self._telephone:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            document = json.loads(message.data)
            match document["event"]:
                case "media":
                    await self._hear(b64decode(document["media"]["payload"]))
                case "start":
                    self._stream_sid, self._call_sid = document["streamSid"], document["start"]["callSid"]
                    await self._greet()
                case "stop":
                    return

    async def _hear(self, frame: bytes) -> None:
        is_voiced = max(frame.translate(_LOUDNESS)) >= _VOICED
        self._recent.append(is_voiced)
        self._unsent += frame
        if is_voiced:
            self._silent_frames, self._last_voiced_at, self._is_committed = 0, self._now(), False
            self._is_speech = self._is_speech or sum(list(self._recent)[-_SPEECH_WINDOW:]) >= _SPEECH_FRAMES
            if self._is_audible and sum(self._recent) >= _BARGE_IN_FRAMES:
                await self._stop_playing()
        else:
            self._silent_frames += 1
        if self._is_speech and self._silent_frames == _COMMIT_FRAMES:
            self._is_committed = True
            await self._forward(is_commit=True)
        elif len(self._unsent) >= _MESSAGE_BYTES:
            await self._forward()
        self._end_turn_if_over()

    async def _forward(self, *, is_commit: bool = False) -> None:
        audio, self._unsent = b64encode(self._unsent).decode(), bytearray()
        message = {"message_type": "input_audio_chunk", "audio_base_64": audio, "commit": is_commit}
        await self._transcriber.send_str(json.dumps({**message, "sample_rate": 8000}))

    async def _read_transcriber(self) -> None:
        async for message in self._transcriber:
            document = json.loads(message.data)
            if document["message_type"] == "committed_transcript":
                if document["text"]:
                    self._text.append(document["text"])
                elif self._is_committed:
                    self._is_speech = False  # a noise without words
                self._end_turn_if_over()

    def _end_turn_if_over(self) -> None:
        if not (self._text and self._is_committed and self._silent_frames >= _TURN_OVER_FRAMES):
            return
        utterance = " ".join(self._text)
        self._text, self._is_speech, self._is_committed = [], False, False
        now = self._now()
        number = self._turn.turn + 1 if self._turn else 1
        self._turn = Turn(self._call_sid, number, now - self._last_voiced_at)
        self._turns.append(self._turn)
        self._reply = asyncio.create_task(self._answer(self._turn, utterance, now))

    async def _answer(self, turn: Turn, utterance: str, began_at: float) -> None:
        context = {"context_id": self._begin_context()}
        async for sentence in self._sentences(utterance):
            if not turn.first_sentence_seconds:
                self._stage_at = self._now()
                turn.first_sentence_seconds = self._stage_at - began_at
                await self._synthesizer.send_str(json.dumps({"text": " ", **context}))
            await self._synthesizer.send_str(json.dumps({"text": f"{sentence} ", **context, "flush": True}))
        await self._synthesizer.send_str(json.dumps({**context, "close_context": True}))

    async def _greet(self) -> None:
        context = {"context_id": self._begin_context()}
        await self._synthesizer.send_str(json.dumps({"text": " ", **context}))
        await self._synthesizer.send_str(json.dumps({"text": f"{conditions.GREETING} ", **context, "flush": True}))
        await self._synthesizer.send_str(json.dumps({**context, "close_context": True}))

    def _begin_context(self) -> str:
        self._context += 1
        self._is_finished = False
        return str(self._context)

    async def _read_synthesizer(self) -> None:
        async for message in self._synthesizer:
            document = json.loads(message.data)
            if document.get("contextId") != str(self._context):
                continue
            if document.get("isFinal"):
                self._is_finished = True
            else:
                turn, now = self._turn, self._now()
                if turn is not None and turn.synthesis_seconds is None:
                    turn.synthesis_seconds, self._stage_at = now - self._stage_at, now
                self._audio += b64decode(document["audio"])
            self._audio_arrived.set()

    @property
    def _is_audible(self) -> bool:
        return self._now() < self._played_until

    async def _stop_playing(self) -> None:
        if self._reply is not None:
            self._reply.cancel()
        self._context += 1
        self._audio.clear()
        self._is_finished, self._played_until = True, 0.0
        await self._telephone.send_str(json.dumps({"event": "clear", "streamSid": self._stream_sid}))

    async def _play(self) -> None:
        """Sends a frame each 20 ms while there is audio, `SEND_AHEAD_SECONDS` before it is due."""
        has_sent = False
        while True:
            if self._audio and (self._is_finished or len(self._audio) >= FRAME_BYTES):
                frame = bytes(self._audio[:FRAME_BYTES])
                del self._audio[:FRAME_BYTES]
                await self._send_frame(frame)
                has_sent = True
                ahead_seconds = self._played_until - self._now() - conditions.SEND_AHEAD_SECONDS
                if ahead_seconds > 0:
                    await asyncio.sleep(ahead_seconds)
                continue
            if has_sent and self._is_finished:
                mark = {"event": "mark", "streamSid": self._stream_sid, "mark": {"name": str(self._context)}}
                await self._telephone.send_str(json.dumps(mark))
                has_sent = False
            self._audio_arrived.clear()
            await self._audio_arrived.wait()

    async def _send_frame(self, frame: bytes) -> None:
        media = {"event": "media", "streamSid": self._stream_sid, "media": {"payload": b64encode(frame).decode()}}
        await self._telephone.send_str(json.dumps(media))
        now = self._now()
        if self._turn is not None and self._turn.playout_seconds is None:
            self._turn.playout_seconds = now - self._stage_at
        self._played_until = max(self._played_until, now) + FRAME_SECONDS
