"""Media streams over real WebSockets and a real NATS server: what is refused, closed or dropped.

Beside each of these streams, another call goes on undisturbed: it takes a turn afterwards.
"""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from tests.builders.turns import a_reply, a_sentence
from tests.fakes.live import VOICE, speech_of
from tests.fakes.stream_peer import KEY, StreamPeer, StreamServer, stream_server
from tests.integration.voice.conftest import StartCall

from chassis.event_log import EventLog
from contracts import (
    CallStatus,
    Event,
    HangupReason,
    MediaClosed,
    MediaClosedReason,
    MediaOpened,
    SpeechHeard,
    SpeechPlayed,
)
from contracts.event import CallEvent
from contracts.vocabulary import ConversationMode
from telephony.media import sign
from voice.adapters.turn_events import TurnEventReader
from voice.application.live import speaking
from voice.application.live.live_calls import StreamId
from voice.domain.live import media_stream as codec
from voice.entrypoints import media_stream

GREETING = "Hi."
QUESTIONS = itertools.count(1)


@pytest.fixture
async def server(calls: EventLog, turn_events: TurnEventReader) -> AsyncIterator[StreamServer]:
    async with stream_server(calls, turn_events) as server:
        yield server


@pytest.fixture
def start_live(start_call: StartCall) -> "StartLive":
    return StartLive(start_call)


class StartLive:
    """Starts calls that are live, and returns their first streams."""

    def __init__(self, start_call: StartCall) -> None:
        self._start_call = start_call

    async def __call__(self, **changes: object) -> StreamId:
        terms = {"mode": ConversationMode.LIVE, "script_template": f"{GREETING}\n\nSell.", "variables": {}, **changes}
        event = await self._start_call(CallStatus.IN_PROGRESS, **terms)
        return StreamId(event.call_id, event.attempt, 1)


async def until(calls: EventLog, stream: StreamId, kind: type[CallEvent], turn: int | None = None) -> Event:
    """Waits for an event of a call."""
    async with asyncio.timeout(60):
        while True:
            stored = await calls.last(kind.subject_for(stream.call_id))
            if stored is not None and turn in (None, getattr(stored.event, "turn", None)):
                return stored.event
            await asyncio.sleep(0.02)


async def reason(calls: EventLog, stream: StreamId) -> MediaClosedReason:
    closed = await until(calls, stream, MediaClosed)
    assert isinstance(closed, MediaClosed)
    return closed.reason


async def take_turn(server: StreamServer, calls: EventLog, stream: StreamId, peer: StreamPeer) -> None:
    """The callee says something, and hears the answer. A silence may have claimed a turn before."""
    await until(calls, stream, SpeechPlayed)
    words = f"Question {next(QUESTIONS)}?"
    await peer.talk(server.vendors[stream.call_id].transcriber, words)
    async with asyncio.timeout(60):
        while not isinstance(heard := await until(calls, stream, SpeechHeard), SpeechHeard) or heard.text != words:
            await asyncio.sleep(0.02)
    await calls.append(a_sentence(stream.call_id, heard.turn, 0, "Ana."))
    await calls.append(a_reply(stream.call_id, heard.turn, "Ana."))
    await until(calls, stream, SpeechPlayed, heard.turn)


@asynccontextmanager
async def undisturbed(server: StreamServer, calls: EventLog, start_live: StartLive) -> AsyncIterator[None]:
    """Another call beside the block, which takes a turn after it."""
    stream = await start_live()
    async with server.stream(stream) as peer:
        await until(calls, stream, SpeechPlayed)
        yield
        await take_turn(server, calls, stream, peer)


async def test_a_callee_hears_the_greeting_and_an_answer(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    stream = await start_live()
    async with server.stream(stream) as peer:
        await take_turn(server, calls, stream, peer)
        await peer.send("stop", stop={"accountSid": "AC0", "callSid": "CA0"})
        assert await peer.close_code() == 1000
    assert await reason(calls, stream) is MediaClosedReason.HANG_UP
    assert peer.audio.startswith(speech_of(GREETING))
    assert peer.events.count("mark") == 2


async def test_handshakes_are_refused_before_a_stream_begins(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        assert await server.refusal(stream, signature="") == 403
        assert await server.refusal(stream, signature="bm8=") == 403
        assert await server.refusal(StreamId(uuid4(), 1, 1)) == 404
        assert await server.refusal(StreamId(stream.call_id, 2, 1)) == 403
        ended = await start_live(hangup_reason=HangupReason.TOO_LONG)
        assert await server.refusal(ended) == 403
        in_turns = await start_live(mode=ConversationMode.TURN_BASED)
        assert await server.refusal(in_turns) == 403
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None


async def test_a_process_that_is_late_or_full_accepts_no_stream(
    server: StreamServer, calls: EventLog, start_live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        monkeypatch.setattr(server.calls, "_max_calls", 1)
        assert await server.refusal(stream) == 503
        monkeypatch.setattr(server.calls, "_max_calls", 10)
        with monkeypatch.context() as patch:
            patch.setattr(server.calls, "_max_lag_seconds", -1.0)
            assert await server.refusal(stream) == 503


async def test_a_stream_without_start_is_closed(
    server: StreamServer, calls: EventLog, start_live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undisturbed(server, calls, start_live):
        monkeypatch.setattr(media_stream, "START_SECONDS", 0.2)
        stream = await start_live()
        socket = await server.handshake(stream)
        await socket.send_str('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        await socket.receive()
        assert socket.close_code == 1008
        monkeypatch.setattr(media_stream, "START_SECONDS", 60.0)
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None


async def test_a_wrong_token_and_a_second_start_are_closed(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream, token=sign(KEY, "/media/stream/other")) as peer:
            assert await peer.close_code() == 1008
        assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None
        async with server.stream(stream) as peer:
            await peer.send_start(sign(KEY, server.path(stream)))
            assert await peer.close_code() == 1008
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[]",
        '{"event":"media","streamSid":"MZ","media":{"track":"inbound","timestamp":"0","payload":"%%%"}}',
        '{"event":"sing","streamSid":"MZ"}',
        b"binary",
    ],
)
async def test_some_malformed_messages_are_dropped_and_many_end_the_stream(
    server: StreamServer,
    calls: EventLog,
    start_live: StartLive,
    message: str | bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MALFORMED_WINDOW_SECONDS", 600.0)  # the machine may be loaded
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream) as peer:
            for _ in range(50):
                await peer.send_raw(message)
            await until(calls, stream, SpeechPlayed)
            await peer.send_raw(message)
            assert await peer.close_code() == 1003
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_a_message_that_is_too_long_ends_the_stream(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.send_media(b"\xff" * 70_000)
            assert await peer.close_code() == 1009
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_audio_of_any_length_is_heard_and_that_of_another_stream_is_not(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.send_media(b"")
            await peer.send_media(b"\xff" * 37)
            await peer.send_media(VOICE * 10, stream_id="MZ-other")
            await peer.send_media(b"\xff" * 1000)
            await peer.send_media(b"\xff" * 123)
            await take_turn(server, calls, stream, peer)
        audio = server.vendors[stream.call_id].transcriber.audio
        assert len(audio) % 160 == 0
        assert audio.count(VOICE[:2]) < 2 * 80 * 30  # what the callee said, and nothing of the other stream


async def test_a_peer_that_plays_nothing_loses_its_socket(
    server: StreamServer, calls: EventLog, start_live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream) as peer:
            peer.returns_marks = False
            monkeypatch.setattr(speaking, "MAX_MARK_SECONDS", 0.5)
            assert await peer.close_code() == 1011
            monkeypatch.setattr(speaking, "MAX_MARK_SECONDS", 60.0)
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_the_same_generation_is_accepted_once_and_a_higher_one_ends_it(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream) as first:
            await until(calls, stream, SpeechPlayed)
            async with server.stream(stream) as same:
                assert await same.close_code() == 1008
            newer = StreamId(stream.call_id, stream.attempt, 2)
            async with server.stream(newer) as second:
                assert await first.close_code() == 1000
                assert await reason(calls, stream) is MediaClosedReason.SUPERSEDED
                await take_turn(server, calls, newer, second)
            async with server.stream(stream) as late:
                assert await late.close_code() == 1008


async def test_a_lost_connection_is_reported(server: StreamServer, calls: EventLog, start_live: StartLive) -> None:
    async with undisturbed(server, calls, start_live):
        stream = await start_live()
        async with server.stream(stream) as peer:
            await until(calls, stream, SpeechPlayed)
            connection = peer.socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
        assert await reason(calls, stream) is MediaClosedReason.DROPPED


async def test_a_process_that_stops_leaves_new_streams_to_those_that_share_its_socket(
    calls: EventLog, turn_events: TurnEventReader, start_live: StartLive
) -> None:
    shared = socket.create_server(("127.0.0.1", 0))
    async with (
        stream_server(calls, turn_events, listener=shared.dup()) as other,
        stream_server(calls, turn_events, listener=shared) as stopping,
    ):
        assert stopping.accepting
        await stopping.accepting.stop_accepting()
        await stopping.calls.drain()
        for _ in range(8):  # the kernel would give some of them to each of the two
            stream = await start_live()
            async with other.stream(stream):
                await until(calls, stream, MediaOpened)


async def test_a_drain_ends_all_streams_and_refuses_new_ones(
    server: StreamServer, calls: EventLog, start_live: StartLive
) -> None:
    streams = [await start_live(), await start_live()]
    async with server.stream(streams[0]) as first, server.stream(streams[1]) as second:
        for stream in streams:
            await until(calls, stream, SpeechPlayed)
        await server.calls.drain()
        assert {await first.close_code(), await second.close_code()} == {1000}
    for stream in streams:
        assert await reason(calls, stream) is MediaClosedReason.DRAINED
    assert await server.refusal(await start_live()) == 503
