"""Media streams over real WebSockets and a real NATS server: what holds for streams of audio only.

Beside each of these streams, another call goes on undisturbed: it takes a turn afterwards.
"""

import socket

import pytest
from tests.fakes.live import VOICE, speech_of
from tests.fakes.stream_peer import StreamServer, stream_server
from tests.integration.voice.conftest import StartCall
from tests.integration.voice.stream_kinds import AUDIO, GREETING, reason, server, until

from chassis.event_log import EventLog
from contracts import (
    MediaClosedReason,
    MediaOpened,
    SpeechPlayed,
)
from voice.adapters.turn_events import TurnEventReader
from voice.application.live import speaking

__all__ = ["server"]  # a fixture


async def test_a_callee_hears_the_greeting_and_an_answer(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    stream = await AUDIO.start(start_call)
    async with server.stream(stream) as peer:
        await AUDIO.take_turn(server, calls, stream, peer)
        await peer.send("stop", stop={"accountSid": "AC0", "callSid": "CA0"})
        assert await peer.close_code() == 1000
    assert await reason(calls, stream) is MediaClosedReason.HANG_UP
    assert peer.audio.startswith(speech_of(GREETING))
    assert peer.events.count("mark") == 2


async def test_audio_of_any_length_is_heard_and_that_of_another_stream_is_not(
    server: StreamServer, calls: EventLog, start_call: StartCall
) -> None:
    async with AUDIO.undisturbed(server, calls, start_call):
        stream = await AUDIO.start(start_call)
        async with server.stream(stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await peer.send_media(b"")
            await peer.send_media(b"\xff" * 37)
            await peer.send_media(VOICE * 10, stream_id="MZ-other")
            await peer.send_media(b"\xff" * 1000)
            await peer.send_media(b"\xff" * 123)
            await AUDIO.take_turn(server, calls, stream, peer)
        audio = server.vendors[stream.call_id].transcriber.audio
        assert len(audio) % 160 == 0
        assert audio.count(VOICE[:2]) < 2 * 80 * 30  # what the callee said, and nothing of the other stream


async def test_a_peer_that_plays_nothing_loses_its_socket(
    server: StreamServer, calls: EventLog, start_call: StartCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AUDIO.undisturbed(server, calls, start_call):
        stream = await AUDIO.start(start_call)
        async with server.stream(stream) as peer:
            peer.returns_marks = False
            monkeypatch.setattr(speaking, "MAX_MARK_SECONDS", 0.5)
            assert await peer.close_code() == 1011
            monkeypatch.setattr(speaking, "MAX_MARK_SECONDS", 60.0)
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_a_process_that_stops_leaves_new_streams_to_those_that_share_its_socket(
    calls: EventLog, turn_events: TurnEventReader, start_call: StartCall
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
            stream = await AUDIO.start(start_call)
            async with other.stream(stream):
                await until(calls, stream, MediaOpened)
