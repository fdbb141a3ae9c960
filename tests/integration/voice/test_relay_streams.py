"""Streams of text over real WebSockets and a real NATS server: what is refused, closed or dropped.

Beside each of these streams, another call goes on undisturbed: it takes a turn afterwards.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from tests.builders.turns import a_reply, a_sentence
from tests.fakes.relay_peer import RelayPeer, path_of, relay_stream
from tests.fakes.stream_peer import KEY, StreamServer
from tests.integration.voice.conftest import StartCall
from tests.integration.voice.test_media_streams import StartLive, reason, server, until

from chassis.event_log import EventLog
from contracts import (
    CallStatus,
    ConversationEnded,
    Disposition,
    HangupReason,
    MediaClosedReason,
    MediaKind,
    MediaOpened,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from contracts.vocabulary import ConversationMode
from telephony.media import sign
from voice.application.live.live_calls import StreamId
from voice.domain.live import media_stream as codec
from voice.entrypoints import media_stream, stream_socket

__all__ = ["server"]  # a fixture
QUESTIONS = itertools.count(1)


class StartRelay(StartLive):
    """Starts calls whose provider speaks, and returns their first streams."""

    async def __call__(self, **changes: object) -> StreamId:
        return await super().__call__(**{"mode": ConversationMode.RELAY, **changes})


@pytest.fixture
def start_relay(start_call: StartCall) -> StartRelay:
    return StartRelay(start_call)


async def take_turn(calls: EventLog, stream: StreamId, peer: RelayPeer) -> None:
    """The callee says something, and hears the answer."""
    await until(calls, stream, SpeechPlayed)
    words = f"Question {next(QUESTIONS)}?"
    await peer.say(words)
    async with asyncio.timeout(60):
        while not isinstance(heard := await until(calls, stream, SpeechHeard), SpeechHeard) or heard.text != words:
            await asyncio.sleep(0.02)
    await calls.append(a_sentence(stream.call_id, heard.turn, 0, "Ana."))
    await calls.append(a_reply(stream.call_id, heard.turn, "Ana."))
    await until(calls, stream, SpeechPlayed, heard.turn)
    assert peer.spoken[-1] == "Ana."


@asynccontextmanager
async def undisturbed(server: StreamServer, calls: EventLog, start_relay: StartRelay) -> AsyncIterator[None]:
    """Another call beside the block, which takes a turn after it."""
    stream = await start_relay()
    async with relay_stream(server, stream) as peer:
        await until(calls, stream, SpeechPlayed)
        yield
        await take_turn(calls, stream, peer)


async def test_a_callee_hears_the_greeting_an_answer_and_the_goodbye(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    stream = await start_relay()
    async with relay_stream(server, stream) as peer:
        await take_turn(calls, stream, peer)
        ended = ConversationEnded(
            call_id=stream.call_id,
            attempt=1,
            turn=1,
            disposition=Disposition.CONFIRMED,
            summary="",
            fields={},
            goodbye_seconds=1,
        )
        await calls.append(ended)
        await peer.close_code()
    assert peer.handoff == {"reason": "goodbye"}
    assert peer.spoken == ["Hi.", "Ana."]
    assert await reason(calls, stream) is MediaClosedReason.GOODBYE
    opened = await until(calls, stream, MediaOpened)
    assert isinstance(opened, MediaOpened)
    assert (opened.kind, opened.stream_id) == (MediaKind.RELAY, peer.session_id)


async def test_an_interruption_is_in_the_log_before_the_words(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    stream = await start_relay()
    async with relay_stream(server, stream) as peer:
        await take_turn(calls, stream, peer)
        await peer.say("More?")
        heard = await until(calls, stream, SpeechHeard, 2)
        await calls.append(a_sentence(stream.call_id, 2, 0, " ".join(["word"] * 2_000)))
        async with asyncio.timeout(60):
            while len(peer.spoken) < 6:
                await asyncio.sleep(0.02)
        await peer.send("interrupt", utteranceUntilInterrupt="word word word", durationUntilInterruptMs="900")
        await peer.say("Stop.")
        await until(calls, stream, SpeechHeard, 3)
    interrupted = await calls.last(SpeechInterrupted.subject_for(stream.call_id))
    assert interrupted is not None
    assert isinstance(interrupted.event, SpeechInterrupted)
    assert (interrupted.event.turn, interrupted.event.heard[:14]) == (2, "word word word")
    last = await calls.last(SpeechHeard.subject_for(stream.call_id))
    assert last is not None
    assert interrupted.sequence < last.sequence
    assert isinstance(heard, SpeechHeard)


async def test_handshakes_are_refused_before_a_stream_begins(
    server: StreamServer, calls: EventLog, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        path = path_of(stream)
        assert await server.refusal(stream, path=path, signature="") == 403
        assert await server.refusal(stream, path=path, signature="bm8=") == 403
        assert await server.refusal(stream) == 403, "its stream has text"
        unknown = StreamId(uuid4(), 1, 1)
        assert await server.refusal(unknown, path=path_of(unknown)) == 404
        ended = await start_relay(hangup_reason=HangupReason.TOO_LONG)
        live = await start_relay(mode=ConversationMode.LIVE)
        in_turns = await start_relay(mode=ConversationMode.TURN_BASED)
        for other in (ended, live, in_turns, StreamId(stream.call_id, 2, 1)):
            assert await server.refusal(other, path=path_of(other)) == 403
        monkeypatch.setattr(server.calls, "_max_calls", 1)
        assert await server.refusal(stream, path=path) == 503
        monkeypatch.setattr(server.calls, "_max_calls", 10)
        with monkeypatch.context() as patch:
            patch.setattr(server.calls, "_max_lag_seconds", -1.0)
            assert await server.refusal(stream, path=path) == 503
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None


async def test_a_stream_without_setup_is_closed(
    server: StreamServer, calls: EventLog, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undisturbed(server, calls, start_relay):
        monkeypatch.setattr(media_stream, "START_SECONDS", 0.2)
        stream = await start_relay()
        socket = await server.handshake(stream, path=path_of(stream))
        await socket.send_str('{"type":"prompt","voicePrompt":"Hello?","last":true}')
        await socket.receive()
        assert socket.close_code == 1008
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None


async def test_a_wrong_token_and_a_second_setup_are_closed(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream, token=sign(KEY, server.path(stream))) as peer:
            assert await peer.close_code() == 1008
        assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None
        async with relay_stream(server, stream) as peer:
            await peer.set_up(sign(KEY, path_of(stream)))
            assert await peer.close_code() == 1008
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


@pytest.mark.parametrize("message", ["not json", "[]", '{"type":"dtmf","digit":"12"}', '{"type":"sing"}', b"binary"])
async def test_some_malformed_messages_are_dropped_and_many_end_the_stream(
    server: StreamServer,
    calls: EventLog,
    start_relay: StartRelay,
    message: str | bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MALFORMED_WINDOW_SECONDS", 600.0)  # the machine may be loaded
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as peer:
            for _ in range(50):
                await peer.send_raw(message)
            await until(calls, stream, SpeechPlayed)
            await peer.send_raw(message)
            assert await peer.close_code() == 1003
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_errors_that_the_provider_reports_and_news_end_nothing(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as peer:
            for _ in range(60):
                await peer.send("error", description="Invalid message received")
                await peer.send("info", name="somethingNew", value={"a": 1})
            await take_turn(calls, stream, peer)


async def test_a_message_that_is_too_long_ends_the_stream(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.say("x" * 70_000)
            assert await peer.close_code() == 1009
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_a_peer_that_reads_nothing_loses_its_socket(
    server: StreamServer, calls: EventLog, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.say("Who is this?")
            heard = await until(calls, stream, SpeechHeard)
            assert isinstance(heard, SpeechHeard)
            connection = peer.socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.pause_reading()
            monkeypatch.setattr(stream_socket, "MAX_STALL_SECONDS", 0.5)
            for number in range(40):
                await calls.append(a_sentence(stream.call_id, heard.turn, number, "word " * 8_000))
            assert await reason(calls, stream) is MediaClosedReason.MALFORMED
            monkeypatch.setattr(stream_socket, "MAX_STALL_SECONDS", 60.0)


async def test_the_same_generation_is_accepted_once_and_a_higher_one_ends_it(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as first:
            await until(calls, stream, SpeechPlayed)
            async with relay_stream(server, stream) as same:
                assert await same.close_code() == 1008
            newer = StreamId(stream.call_id, stream.attempt, 2)
            async with relay_stream(server, newer) as second:
                await first.close_code()
                assert first.handoff == {"reason": "superseded"}
                assert await reason(calls, stream) is MediaClosedReason.SUPERSEDED
                await take_turn(calls, newer, second)
            async with relay_stream(server, stream) as late:
                assert await late.close_code() == 1008


async def test_a_lost_connection_is_reported(server: StreamServer, calls: EventLog, start_relay: StartRelay) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            connection = peer.socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
        assert await reason(calls, stream) is MediaClosedReason.DROPPED


async def test_a_socket_that_the_provider_closes_is_the_end_of_the_session(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    async with undisturbed(server, calls, start_relay):
        stream = await start_relay()
        async with relay_stream(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.socket.close()
        assert await reason(calls, stream) is MediaClosedReason.HANG_UP


async def test_a_drain_ends_all_streams_and_refuses_new_ones(
    server: StreamServer, calls: EventLog, start_relay: StartRelay
) -> None:
    streams = [await start_relay(), await start_relay()]
    async with relay_stream(server, streams[0]) as first, relay_stream(server, streams[1]) as second:
        for stream in streams:
            await until(calls, stream, SpeechPlayed)
        await server.calls.drain()
        for peer in (first, second):
            await peer.close_code()
            assert peer.handoff == {"reason": "drained"}
    for stream in streams:
        assert await reason(calls, stream) is MediaClosedReason.DRAINED
    late = await start_relay()
    assert await server.refusal(late, path=path_of(late)) == 503
    assert late.call_id != streams[0].call_id


async def test_a_call_that_is_not_in_progress_has_no_line(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    event = await start_call(CallStatus.COMPLETED, mode=ConversationMode.RELAY)
    stream = StreamId(event.call_id, event.attempt, 1)
    assert await server.refusal(stream, path=path_of(stream)) == 403
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None
