"""One session of ConversationRelay: Twilio's side of the WebSocket, from `setup` to the end of the session.

Its clock is that of a media stream. The callee hears our texts as audio, and judges by its ear. What it says is
transcribed without an error; a signal of attention interrupts nothing if the noun says so.

https://www.twilio.com/docs/voice/conversationrelay
"""

import asyncio
import contextlib

import aiohttp

from simulators.mu_law import FRAME_SECONDS
from simulators.twilio import relay_messages as messages
from simulators.twilio.call import Call
from simulators.twilio.ledger import UtteranceEntry
from simulators.twilio.live_callee import CalleeFrame, LiveCallee
from simulators.twilio.relay_messages import Digits, End, Invalid, Text
from simulators.twilio.relay_speech import RelaySpeech
from simulators.twilio.stream_clock import StreamClock
from simulators.twilio.stream_connection import StreamConnection, StreamError
from simulators.twilio.stream_hearing import StreamHearing
from simulators.twilio.stream_ledger import SoundEntry, StreamEntry
from simulators.twilio.stream_settings import StreamSettings
from simulators.twilio.twiml import Verb

LOST, INVALID = 64105, 64107
MAX_INVALID_IN_A_ROW = 10
_INTERRUPT_SECONDS = 0.25
"""How long the callee speaks before it interrupts."""
_END_OF_SPEECH_SECONDS = 0.7
"""From the last sound of an utterance to its prompt."""
_CLOSE_TYPES = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)


class RelaySession:
    """Runs one session on an open connection. `noun` is the <ConversationRelay>."""

    def __init__(
        self,
        call: Call,
        callee: LiveCallee,
        entry: StreamEntry,
        connection: StreamConnection,
        noun: Verb,
        settings: StreamSettings,
    ) -> None:
        self._call, self._callee, self._entry = call, callee, entry
        self._connection, self._noun, self._faults = connection, noun, settings.faults
        interruptible = noun.attributes.get("interruptible", "any")
        self._stops_for_speech, self._stops_for_keys = (
            interruptible in ("any", "true", one) for one in ("speech", "dtmf")
        )
        self._events = noun.attributes.get("events", "").split()
        self._speech = RelaySpeech("agent", settings.speak, is_interruptible=interruptible not in ("none", "false"))
        self._hearing = StreamHearing(entry, call)
        self._clock = StreamClock(entry, call.clock.speed)
        self._sound: SoundEntry | None = None
        self._interrupts_at = self._prompts_at = float("inf")
        self._invalid_in_a_row = 0
        self.handoff: str | None = None

    async def run(self) -> None:
        """Runs until the server ends the session. Raises StreamError (64105) and CallEnded."""
        reader, clock = asyncio.create_task(self._read()), asyncio.create_task(self._run_clock())
        try:
            with self._hearing.recording_end():
                await asyncio.wait({reader, clock}, return_when=asyncio.FIRST_COMPLETED)
                for task in (clock, reader):
                    if task.done() and (error := task.exception()) is not None:
                        raise error
        finally:
            self._entry.seconds = round(self._clock.seconds, 2)
            for task in (clock, reader):
                task.cancel()
            await asyncio.wait({clock, reader})
            await self._connection.close()

    async def _run_clock(self) -> None:
        if self._faults.never_starts:
            await self._call.clock.sleep(float("inf"))
        await self._send(messages.setup(self._entry.sid, self._call.form("in-progress"), self._entry.parameters))
        for _ in range(self._faults.malformed_messages):
            await self._send('{"type":"undocumented"}')
        self._clock.start()
        while True:
            await self._step(await self._clock.next_frame())

    async def _step(self, now: float) -> None:
        was_speaking = self._speech.is_speaking
        heard, words = self._speech.next_frame()
        if self._speech.is_speaking is not was_speaking:
            await self._report("speaker-events", "agentSpeaking", "on" if self._speech.is_speaking else "off")
        for word in words:
            self._entry.spoken.append(word)
            await self._report("tokens-played", "tokensPlayed", word)
        sent = self._callee.exchange(heard)
        self._hearing.frame(now, heard, sent)
        await self._hear(sent, now)
        self._call.clock.elapsed += FRAME_SECONDS
        self._call.clock.check()
        if self._faults.drop_after_seconds is not None and now + FRAME_SECONDS >= self._faults.drop_after_seconds:
            self._connection.drop()
            raise StreamError(LOST, "connection lost")

    async def _hear(self, sent: CalleeFrame, now: float) -> None:
        """Takes what the callee does, and reports what is due."""
        if sent.key is not None:
            await self._press(sent.key)
        if (sound := sent.sound) is not None and sound.text:
            self._call.entry.utterances.append(UtteranceEntry("callee", text=sound.text))
            await self._report("speaker-events", "clientSpeaking", "on")
            is_signal = sound.kind == "backchannel" and self._noun.flag("ignoreBackchannel", False)
            self._sound = None if is_signal and sound.is_over_agent else sound
            self._interrupts_at = now + _INTERRUPT_SECONDS
            self._prompts_at = now + sound.seconds + _END_OF_SPEECH_SECONDS
        if self._sound is not None and now >= self._interrupts_at:
            self._interrupts_at = float("inf")
            if self._speech.is_speaking and self._stops_for_speech and self._speech.is_interruptible:
                await self._interrupt()
            elif self._speech.is_speaking and self._noun.attributes.get("reportInputDuringAgentSpeech") not in (
                "any",
                "speech",
            ):
                self._sound = None
        if now >= self._prompts_at:
            self._prompts_at = float("inf")
            await self._report("speaker-events", "clientSpeaking", "off")
            if self._sound is not None:
                self._sound.prompted_seconds = self._clock.now()
                await self._send(messages.prompt(self._sound.text, self._noun.attributes.get("language", "en-US")))
                self._sound = None

    async def _press(self, key: str) -> None:
        self._call.entry.utterances.append(UtteranceEntry("callee", text=key))
        if not self._noun.flag("dtmfDetection", False):
            return
        await self._send(messages.dtmf(key))
        if self._speech.is_speaking and self._stops_for_keys and self._speech.is_interruptible:
            await self._interrupt()

    async def _interrupt(self) -> None:
        utterance, seconds = " ".join(self._speech.words), self._speech.seconds
        self._speech.interrupt()
        self._entry.interruptions.append(utterance)
        await self._send(messages.interrupt(utterance, seconds))
        await self._report("speaker-events", "agentSpeaking", "off")

    async def _report(self, event: str, name: str, value: str) -> None:
        if event in self._events:
            await self._send(messages.info(name, value))

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):  # the reader finds out
            await self._connection.send(text)

    async def _read(self) -> None:
        """Reads the server's messages until it ends the session. Raises StreamError if its socket ends before."""
        while True:
            received = await self._connection.receive()
            if received.type in _CLOSE_TYPES:
                is_close = received.type is aiohttp.WSMsgType.CLOSE
                self._entry.close_code = received.data if is_close else None
                raise StreamError(LOST, f"server closed with {received.data}" if is_close else "connection lost")
            self._entry.messages_received += 1
            is_text = received.type is aiohttp.WSMsgType.TEXT
            message = messages.read(received.data) if is_text else Invalid("binary message")
            if isinstance(message, End):
                self._entry.closed_by, self.handoff = "server", message.handoff
                return
            await self._take(message)

    async def _take(self, message: Text | Digits | messages.Other | Invalid) -> None:
        if isinstance(message, Invalid):
            self._call.entry.add_error_once(INVALID, message.reason, self._entry.url)
            await self._send(messages.error(f"Invalid message received: {message.reason}"))
            self._invalid_in_a_row += 1
            if self._invalid_in_a_row >= MAX_INVALID_IN_A_ROW:
                raise StreamError(INVALID, "too many messages are not valid")
            return
        self._invalid_in_a_row = 0
        if isinstance(message, Text):
            if message.token.strip():
                self._hearing.received(self._clock.now())
            self._speech.add(message)
        elif isinstance(message, Digits):
            for key in message.digits.replace("w", ""):
                self._call.entry.digits += key
                self._callee.receive_key(key)
