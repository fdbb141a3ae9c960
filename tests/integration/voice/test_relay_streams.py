"""Streams of text over real WebSockets and a real NATS server: what holds for them only.

Beside each of these streams, another call goes on undisturbed: it takes a turn afterwards.
"""

import asyncio

import pytest
from tests.builders.turns import a_sentence
from tests.fakes.relay_peer import path_of, relay_stream
from tests.fakes.stream_peer import StreamServer
from tests.integration.voice.conftest import StartCall
from tests.integration.voice.stream_kinds import TEXT, reason, server, until

from chassis.event_log import EventLog
from contracts import (
    CallStatus,
    ConversationEnded,
    Disposition,
    MediaClosedReason,
    MediaKind,
    MediaOpened,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from contracts.vocabulary import ConversationMode
from voice.application.live.live_calls import StreamId
from voice.entrypoints import stream_socket

__all__ = ["server"]  # a fixture


async def test_a_callee_hears_the_greeting_an_answer_and_the_goodbye(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    stream = await TEXT.start(start_call)
    async with relay_stream(server, stream) as peer:
        await TEXT.take_turn(server, calls, stream, peer)
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
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    stream = await TEXT.start(start_call)
    async with relay_stream(server, stream) as peer:
        await TEXT.take_turn(server, calls, stream, peer)
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


async def test_errors_that_the_provider_reports_and_news_end_nothing(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    async with TEXT.undisturbed(server, calls, start_call):
        stream = await TEXT.start(start_call)
        async with relay_stream(server, stream) as peer:
            for _ in range(60):
                await peer.send("error", description="Invalid message received")
                await peer.send("info", name="somethingNew", value={"a": 1})
            await TEXT.take_turn(server, calls, stream, peer)


async def test_a_peer_that_reads_nothing_loses_its_socket(
    server: StreamServer, calls: EventLog, start_call: StartCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with TEXT.undisturbed(server, calls, start_call):
        stream = await TEXT.start(start_call)
        async with relay_stream(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.say("Who is this?")
            heard = await until(calls, stream, SpeechHeard)
            assert isinstance(heard, SpeechHeard)
            peer.transport.pause_reading()
            monkeypatch.setattr(stream_socket, "MAX_STALL_SECONDS", 0.5)
            for number in range(40):
                await calls.append(a_sentence(stream.call_id, heard.turn, number, "word " * 8_000))
            assert await reason(calls, stream) is MediaClosedReason.MALFORMED
            monkeypatch.setattr(stream_socket, "MAX_STALL_SECONDS", 60.0)


async def test_a_socket_that_the_provider_closes_is_the_end_of_the_session(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    async with TEXT.undisturbed(server, calls, start_call):
        stream = await TEXT.start(start_call)
        async with relay_stream(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.socket.close()
        assert await reason(calls, stream) is MediaClosedReason.HANG_UP


async def test_a_call_that_is_not_in_progress_has_no_line(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    event = await start_call(CallStatus.COMPLETED, mode=ConversationMode.RELAY)
    stream = StreamId(event.call_id, event.attempt, 1)
    assert await server.refusal(stream, path=path_of(stream)) == 403
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None
