"""The provider's end of one stream of text: ConversationRelay's messages (`domain.live.relay`)."""

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import WSCloseCode

from chassis.event_log import StoredEvent
from contracts import CallDecision, MediaClosedReason
from telephony.media import TOKEN
from voice.application.live.live_calls import StreamId
from voice.application.live.relay_call import RelayCall, handoff_of
from voice.domain.live import relay
from voice.domain.live.relay import (
    AgentSpeaking,
    CalleeSpeaking,
    ErrorReported,
    Information,
    Interrupted,
    Prompt,
    RelayKey,
    RelayMessage,
    SetUp,
    TextPlayed,
)
from voice.domain.live.vendor_messages import Malformed
from voice.entrypoints.direct_socket import DirectSocket
from voice.entrypoints.stream_socket import MessageReader, MessageWriter, SocketClosed
from voice.metrics import LIVE_REPORTED_ERRORS
from voice.ports import TextLine

ConductRelay = Callable[[StreamId, StoredEvent[CallDecision], TextLine, str], RelayCall]
"""Returns the conversation of a stream: its id, the state of its call, its line, and the provider's id of it."""

logger = structlog.get_logger()


class RelayLine(MessageWriter):
    """Implements `voice.ports.TextLine`."""

    def speak(
        self, text: str, language: str, *, is_last: bool, is_interruptible: bool = True, is_preemptible: bool = True
    ) -> None:
        """See the interface."""
        message = relay.speak(
            text, language, is_last=is_last, is_interruptible=is_interruptible, is_preemptible=is_preemptible
        )
        self._put(message, is_audio=False)

    def end_cycle(self) -> None:
        """See the interface."""
        self._put(relay.end_of_cycle(), is_audio=False)

    def press_keys(self, digits: str) -> None:
        """See the interface."""
        self._put(relay.send_digits(digits), is_audio=False)

    def end(self, reason: MediaClosedReason) -> None:
        """Ends the session, behind what is to be written."""
        self._put(relay.end(handoff_of(reason)), is_audio=False)


class RelayPeer:
    """Implements `media_stream.Peer`."""

    def __init__(self, socket: DirectSocket, conduct: ConductRelay) -> None:
        self._conduct = conduct
        # No message says that the session ends: the provider closes the socket.
        self._messages = MessageReader[RelayMessage](socket, relay.parse, MediaClosedReason.HANG_UP)
        self._line = RelayLine(socket)
        self._has_ended = asyncio.Event()
        self._errors = 0

    async def start(self) -> str:
        """See the interface. What arrives before `setup` is dropped."""
        while True:
            message = await self._messages.next()
            if isinstance(message, SetUp):
                self._session_id = message.session_id
                return message.parameters.get(TOKEN, "")
            self._messages.drop(message)

    def conduct(self, stream: StreamId, state: StoredEvent[CallDecision]) -> RelayCall:
        """See the interface."""
        self._call = self._conduct(stream, state, self._line, self._session_id)
        return self._call

    async def read(self) -> None:
        """See the interface."""
        try:
            while True:
                self._take(await self._messages.next())
        finally:
            self._has_ended.set()

    async def write(self) -> None:
        """See the interface."""
        await self._line.write()

    async def watch(self) -> None:
        """See the interface. A call in which all are silent brings no messages; pings do."""
        await asyncio.get_running_loop().create_future()

    async def say_end(self, reason: MediaClosedReason) -> None:
        """See the interface. The provider then closes the socket, and asks for the next instruction."""
        self._line.end(reason)
        await self._has_ended.wait()

    def _take(self, message: RelayMessage | Malformed) -> None:
        """Passes a message on. Raises SocketClosed."""
        call = self._call
        match message:
            case Prompt(text, is_last):
                call.receive_prompt(text, is_last=is_last)
            case Interrupted(utterance, seconds):
                call.receive_interruption(utterance, seconds)
            case RelayKey(key):
                call.receive_key(key)
            case TextPlayed(text):
                call.receive_words_played(text)
            case AgentSpeaking(is_speaking) | CalleeSpeaking(is_speaking):
                call.receive_speaking(is_agent=isinstance(message, AgentSpeaking), is_speaking=is_speaking)
            case Information():
                pass
            case ErrorReported():
                self._count_error()
            case SetUp():
                raise SocketClosed(WSCloseCode.POLICY_VIOLATION, MediaClosedReason.MALFORMED)
            case _:
                self._messages.drop(message)

    def _count_error(self) -> None:
        LIVE_REPORTED_ERRORS.inc()
        self._errors += 1
        if self._errors == 1:
            logger.warning("relay_reported_an_error")  # its text may repeat what we have said
