"""One bidirectional media stream: Twilio's side of the WebSocket, from the handshake to the end of the stream.

In each step of its clock the callee hears the next frame of the playout buffer and sends one of its own.

https://www.twilio.com/docs/voice/twiml/stream
"""

import asyncio
import contextlib
import random

import aiohttp

from simulators.mu_law import FRAME_SECONDS, RATE
from simulators.twilio import stream_messages as messages
from simulators.twilio.call import Call
from simulators.twilio.key_tones import KeyToneDetector
from simulators.twilio.ledger import ErrorEntry, UtteranceEntry
from simulators.twilio.live_callee import LiveCallee
from simulators.twilio.playout_buffer import PlayoutBuffer
from simulators.twilio.stream_clock import StreamClock
from simulators.twilio.stream_connection import StreamConnection, StreamError
from simulators.twilio.stream_faults import StreamFaults
from simulators.twilio.stream_hearing import StreamHearing
from simulators.twilio.stream_ledger import StreamEntry
from simulators.twilio.stream_messages import Clear, Invalid, Mark, Media, StreamMessages

_CLOSED_BY_SERVER_SECONDS = 1.0
_CLOSE_TYPES = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)


class MediaStream:
    """Runs one stream on an open connection."""

    def __init__(
        self,
        call: Call,
        callee: LiveCallee,
        entry: StreamEntry,
        connection: StreamConnection,
        faults: StreamFaults,
    ) -> None:
        self._call, self._callee, self._entry = call, callee, entry
        self._connection, self._faults = connection, faults
        self._messages = StreamMessages(call.account_sid, call.sid, entry.sid)
        self._buffer = PlayoutBuffer()
        self._hearing = StreamHearing(entry, call)
        self._draw = random.Random(entry.sid)
        self._clock = StreamClock(entry, call.clock.speed)
        self._stalled: list[str] = []
        self._held_marks: list[str] = []
        self._keys = KeyToneDetector()

    async def run(self) -> None:
        """Runs until the server closes the stream. Raises StreamError (31903) and CallEnded.

        When the call ends or continues elsewhere, `stop` is sent and the connection is closed.
        """
        reader = asyncio.create_task(self._read())
        clock = asyncio.create_task(self._run_clock())
        try:
            with self._hearing.recording_end():
                await asyncio.wait({reader, clock}, return_when=asyncio.FIRST_COMPLETED)
                if clock.done() and clock.exception() is None:  # it could not send: the reader knows why
                    await asyncio.wait({reader}, timeout=_CLOSED_BY_SERVER_SECONDS)
                for task in (clock, reader):
                    if task.done() and (error := task.exception()) is not None:
                        raise error
                if not reader.done():
                    raise StreamError(31903, "connection lost")
        finally:
            await self._finish(reader, clock)

    async def _finish(self, reader: "asyncio.Task[None]", clock: "asyncio.Task[None]") -> None:
        self._entry.seconds = round(self._clock.seconds, 2)
        is_closing = self._entry.closed_by in ("api", "callee", "time_limit")
        clock.cancel()
        await asyncio.wait({clock})
        if is_closing:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_CLOSED_BY_SERVER_SECONDS):
                    await self._connection.send(self._messages.stop())
        reader.cancel()
        await asyncio.wait({reader})
        if is_closing:
            await self._connection.close()

    async def _run_clock(self) -> None:
        """Sends `connected`, `start` and a frame each 20 ms. Returns when the connection is closed."""
        try:
            await self._connection.send(messages.CONNECTED)
            if self._faults.never_starts:
                await self._call.clock.sleep(float("inf"))
            await self._connection.send(self._messages.start(self._entry.parameters))
            self._clock.start()
            while True:
                await self._step(await self._clock.next_frame())
        except OSError:
            return

    async def _step(self, seconds: float) -> None:
        marks, heard = self._buffer.next_frame()
        await self._return_marks(marks, is_cleared=False)
        if self._callee.hears_keys and (key := self._keys.feed(heard)):
            self._call.entry.digits += key
            self._callee.receive_key(key)
        sent = self._callee.exchange(heard)
        self._hearing.frame(seconds, heard, sent)
        if sent.sound is not None and sent.sound.text:
            self._call.entry.utterances.append(UtteranceEntry("callee", text=sent.sound.text))
        await self._send_media(sent.audio)
        if sent.key is not None:
            self._call.entry.utterances.append(UtteranceEntry("callee", text=sent.key))
            await self._send(self._messages.dtmf(sent.key))
        self._call.clock.elapsed += FRAME_SECONDS
        self._call.clock.check()
        drop_after = self._faults.drop_after_seconds
        if drop_after is not None and seconds + FRAME_SECONDS >= drop_after:
            self._connection.drop()
            raise StreamError(31903, "connection lost")

    async def _send_media(self, audio: bytes) -> None:
        if self._draw.random() < self._faults.frame_loss:
            self._entry.frames_lost += 1
        elif self._connection.is_congested:
            self._entry.frames_lost += 1
            self._call.entry.add_error_once(31930, "the server reads too slowly: audio is lost", self._entry.url)
        else:
            self._entry.frames_sent += 1
            await self._send(self._messages.media(audio, round(self._clock.seconds * 1000)))

    async def _send(self, text: str) -> None:
        self._stalled.append(text)
        if self._faults.stalls(self._clock.now()):
            return
        stalled, self._stalled = self._stalled, []
        for kept in stalled:
            await self._connection.send(kept)

    async def _read(self) -> None:
        """Reads the server's messages until it closes. Raises StreamError when the connection breaks."""
        while True:
            message = await self._connection.receive()
            if message.type in _CLOSE_TYPES:
                self._record_close(message)
                return
            stops_after = self._faults.stops_reading_after_seconds
            if stops_after is not None and self._clock.now() >= stops_after:
                await asyncio.get_running_loop().create_future()
            self._entry.messages_received += 1
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._receive(messages.read(message.data, self._entry.sid))
            else:
                self._warn(31950, "binary message")

    def _record_close(self, message: aiohttp.WSMessage) -> None:
        if message.type is not aiohttp.WSMsgType.CLOSE:
            raise StreamError(31903, "connection lost")
        self._entry.closed_by, self._entry.close_code = "server", message.data
        if message.data != aiohttp.WSCloseCode.OK:
            self._call.entry.errors.append(ErrorEntry(31921, f"server closed with {message.data}", self._entry.url))

    async def _receive(self, message: Media | Mark | Clear | Invalid) -> None:
        match message:
            case Media(audio):
                self._hearing.received_audio(self._clock.now(), len(audio) / RATE)
                if not self._buffer.add(audio):
                    self._warn(31931, "more than ten minutes of audio")
            case Mark(name):
                self._hearing.received_mark(name, self._clock.now())
                if self._buffer.add_mark(name):
                    await self._return_marks([name], is_cleared=False)
            case Clear():
                await self._clear()
            case Invalid(code, reason):
                self._warn(code, reason)

    async def _clear(self) -> None:
        discarded_seconds = self._buffer.seconds
        marks = self._buffer.clear()
        self._hearing.cleared(self._clock.now(), discarded_seconds, marks)
        await self._return_marks(marks, is_cleared=True)

    async def _return_marks(self, names: list[str], *, is_cleared: bool) -> None:
        if self._faults.reorders_marks:
            self._held_marks += names
            if len(self._held_marks) < 2:
                return
            names, self._held_marks = self._held_marks[::-1], []
        for name in names:
            self._hearing.returned_mark(name, self._clock.now(), is_cleared=is_cleared)
            try:
                await self._send(self._messages.mark(name))
            except OSError:
                return

    def _warn(self, code: int, reason: str) -> None:
        self._call.entry.add_error_once(code, reason, self._entry.url)
