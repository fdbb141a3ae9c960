"""The two kinds of streams, of audio and of text, for tests that hold for both."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

import pytest
from tests.builders.turns import a_reply, a_sentence
from tests.fakes.relay_peer import RelayPeer, path_of, relay_stream
from tests.fakes.stream_peer import SocketPeer, StreamPeer, StreamServer, stream_server
from tests.integration.voice.conftest import StartCall

from chassis.event_log import EventLog
from contracts import CallStatus, Event, MediaClosed, MediaClosedReason, SpeechHeard, SpeechPlayed
from contracts.event import CallEvent
from contracts.vocabulary import ConversationMode
from voice.adapters.turn_events import TurnEventReader
from voice.application.live.live_calls import StreamId

GREETING = "Hi."
_QUESTIONS = itertools.count(1)
P = TypeVar("P", bound=SocketPeer)


@pytest.fixture
async def server(calls: EventLog, turn_events: TurnEventReader) -> AsyncIterator[StreamServer]:
    async with stream_server(calls, turn_events) as server:
        yield server


class StreamKind(ABC, Generic[P]):
    """What the tests need of a kind of streams. `malformed`: messages that cannot be used."""

    mode: ConversationMode
    malformed: tuple[str | bytes, ...]
    too_early: str
    """A message that must not come before the start."""

    async def start(self, start_call: StartCall, **changes: object) -> StreamId:
        """Starts a call of this kind, and returns its first stream."""
        terms = {"mode": self.mode, "script_template": f"{GREETING}\n\nSell.", "variables": {}, **changes}
        event = await start_call(CallStatus.IN_PROGRESS, **terms)
        return StreamId(event.call_id, event.attempt, 1)

    @abstractmethod
    def path(self, server: StreamServer, stream: StreamId) -> str: ...

    @abstractmethod
    def connect(
        self, server: StreamServer, stream: StreamId, *, token: str | None = None
    ) -> AbstractAsyncContextManager[P]:
        """A stream that has begun, whose callee is silent."""

    @abstractmethod
    async def begin_again(self, peer: P, token: str) -> None: ...

    @abstractmethod
    async def send_too_much(self, peer: P) -> None: ...

    @abstractmethod
    async def say(self, server: StreamServer, stream: StreamId, peer: P, words: str) -> None:
        """The callee says something."""

    @abstractmethod
    async def assert_ended(self, peer: P, reason: MediaClosedReason) -> None:
        """Waits until voice ends the stream, which is no error for the provider."""

    async def take_turn(self, server: StreamServer, calls: EventLog, stream: StreamId, peer: P) -> None:
        """The callee says something, and hears the answer. A silence may have claimed a turn before."""
        await until(calls, stream, SpeechPlayed)
        words = f"Question {next(_QUESTIONS)}?"
        await self.say(server, stream, peer, words)
        async with asyncio.timeout(60):
            while not isinstance(heard := await until(calls, stream, SpeechHeard), SpeechHeard) or heard.text != words:
                await asyncio.sleep(0.02)
        await calls.append(a_sentence(stream.call_id, heard.turn, 0, "Ana."))
        await calls.append(a_reply(stream.call_id, heard.turn, "Ana."))
        await until(calls, stream, SpeechPlayed, heard.turn)

    @asynccontextmanager
    async def undisturbed(self, server: StreamServer, calls: EventLog, start_call: StartCall) -> AsyncIterator[None]:
        """Another call beside the block, which takes a turn after it."""
        stream = await self.start(start_call)
        async with self.connect(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            yield
            await self.take_turn(server, calls, stream, peer)


class AudioStreams(StreamKind[StreamPeer]):
    """Media streams."""

    mode = ConversationMode.LIVE
    malformed = (
        "not json",
        "[]",
        '{"event":"media","streamSid":"MZ","media":{"track":"inbound","timestamp":"0","payload":"%%%"}}',
        '{"event":"sing","streamSid":"MZ"}',
        b"binary",
    )
    too_early = '{"event":"connected","protocol":"Call","version":"1.0.0"}'

    def path(self, server: StreamServer, stream: StreamId) -> str:
        return server.path(stream)

    def connect(
        self, server: StreamServer, stream: StreamId, *, token: str | None = None
    ) -> AbstractAsyncContextManager[StreamPeer]:
        return server.stream(stream, token=token)

    async def begin_again(self, peer: StreamPeer, token: str) -> None:
        await peer.send_start(token)

    async def send_too_much(self, peer: StreamPeer) -> None:
        await peer.send_media(b"\xff" * 70_000)

    async def say(self, server: StreamServer, stream: StreamId, peer: StreamPeer, words: str) -> None:
        await peer.talk(server.vendors[stream.call_id].transcriber, words)

    async def assert_ended(self, peer: StreamPeer, reason: MediaClosedReason) -> None:
        assert await peer.close_code() == 1000


class TextStreams(StreamKind[RelayPeer]):
    """Sessions of ConversationRelay."""

    mode = ConversationMode.RELAY
    malformed = ("not json", "[]", '{"type":"dtmf","digit":"12"}', '{"type":"sing"}', b"binary")
    too_early = '{"type":"prompt","voicePrompt":"Hello?","last":true}'

    def path(self, server: StreamServer, stream: StreamId) -> str:
        return path_of(stream)

    def connect(
        self, server: StreamServer, stream: StreamId, *, token: str | None = None
    ) -> AbstractAsyncContextManager[RelayPeer]:
        return relay_stream(server, stream, token=token)

    async def begin_again(self, peer: RelayPeer, token: str) -> None:
        await peer.set_up(token)

    async def send_too_much(self, peer: RelayPeer) -> None:
        await peer.say("x" * 70_000)

    async def say(self, server: StreamServer, stream: StreamId, peer: RelayPeer, words: str) -> None:
        await peer.say(words)

    async def assert_ended(self, peer: RelayPeer, reason: MediaClosedReason) -> None:
        await peer.close_code()
        assert peer.handoff == {"reason": reason}


AUDIO, TEXT = AudioStreams(), TextStreams()


async def until(calls: EventLog, stream: StreamId, kind: type[CallEvent], turn: int | None = None) -> Event:
    """Waits for an event of a call."""
    async with asyncio.timeout(60):
        while True:
            stored = await calls.last(kind.subject_for(stream.call_id))
            if stored is not None and turn in (None, getattr(stored.event, "turn", None)):
                return stored.event
            await asyncio.sleep(0.02)


async def reason(calls: EventLog, stream: StreamId) -> MediaClosedReason:
    """Waits until the stream has ended, and returns why."""
    closed = await until(calls, stream, MediaClosed)
    assert isinstance(closed, MediaClosed)
    return closed.reason
