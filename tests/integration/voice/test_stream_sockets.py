"""What holds for streams of audio and of text over real WebSockets: what is refused, closed or dropped.

Beside each of these streams, another call goes on undisturbed: it takes a turn afterwards.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.stream_peer import KEY, StreamServer
from tests.integration.voice.conftest import StartCall
from tests.integration.voice.stream_kinds import AUDIO, TEXT, StreamKind, reason, server, until

from chassis.event_log import EventLog
from contracts import HangupReason, MediaClosedReason, MediaOpened, SpeechPlayed
from contracts.vocabulary import ConversationMode
from telephony.media import sign
from voice.application.live.live_calls import StreamId
from voice.domain.live import media_stream as codec
from voice.entrypoints import media_stream

__all__ = ["server"]  # a fixture
Kind = StreamKind[Any]
Start = Callable[..., Awaitable[StreamId]]
OTHER: Mapping[Kind, Kind] = {AUDIO: TEXT, TEXT: AUDIO}


@pytest.fixture(params=[AUDIO, TEXT], ids=["audio", "text"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def start(kind: Kind, start_call: StartCall) -> Start:
    async def start(**changes: object) -> StreamId:
        return await kind.start(start_call, **changes)

    return start


async def test_handshakes_are_refused_before_a_stream_begins(
    kind: Kind, server: StreamServer, calls: EventLog, start: Start, start_call: StartCall
) -> None:
    async def refusal(stream: StreamId, signature: str | None = None) -> int:
        return await server.refusal(stream, path=kind.path(server, stream), signature=signature)

    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        assert await refusal(stream, signature="") == 403
        assert await refusal(stream, signature="bm8=") == 403
        assert await refusal(StreamId(uuid4(), 1, 1)) == 404
        assert await refusal(StreamId(stream.call_id, 2, 1)) == 403
        assert await refusal(await start(hangup_reason=HangupReason.TOO_LONG)) == 403
        for mode in set(ConversationMode) - {kind.mode}:
            assert await refusal(await start(mode=mode)) == 403
        assert await server.refusal(stream, path=OTHER[kind].path(server, stream)) == 403, "a stream of the other kind"
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None


async def test_a_process_that_is_late_or_full_accepts_no_stream(
    kind: Kind,
    server: StreamServer,
    calls: EventLog,
    start: Start,
    start_call: StartCall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        path = kind.path(server, stream)
        monkeypatch.setattr(server.calls, "_max_calls", 1)
        assert await server.refusal(stream, path=path) == 503
        monkeypatch.setattr(server.calls, "_max_calls", 10)
        with monkeypatch.context() as patch:
            patch.setattr(server.calls, "_max_lag_seconds", -1.0)
            assert await server.refusal(stream, path=path) == 503


async def test_a_stream_without_a_start_is_closed(
    kind: Kind,
    server: StreamServer,
    calls: EventLog,
    start: Start,
    start_call: StartCall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with kind.undisturbed(server, calls, start_call):
        monkeypatch.setattr(media_stream, "START_SECONDS", 0.2)
        stream = await start()
        socket = await server.handshake(stream, path=kind.path(server, stream))
        await socket.send_str(kind.too_early)
        await socket.receive()
        assert socket.close_code == 1008
        monkeypatch.setattr(media_stream, "START_SECONDS", 60.0)
    assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None


async def test_a_wrong_token_and_a_second_start_are_closed(
    kind: Kind, server: StreamServer, calls: EventLog, start: Start, start_call: StartCall
) -> None:
    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        token = sign(KEY, OTHER[kind].path(server, stream))
        async with kind.connect(server, stream, token=token) as peer:
            assert await peer.close_code() == 1008
        assert await calls.last(MediaOpened.subject_for(stream.call_id)) is None
        async with kind.connect(server, stream) as peer:
            await kind.begin_again(peer, sign(KEY, kind.path(server, stream)))
            assert await peer.close_code() == 1008
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


@pytest.mark.parametrize(
    ("kind", "message"), [(kind, message) for kind in (AUDIO, TEXT) for message in kind.malformed], ids=range(10)
)
async def test_some_malformed_messages_are_dropped_and_many_end_the_stream(
    kind: Kind,
    message: str | bytes,
    server: StreamServer,
    calls: EventLog,
    start: Start,
    start_call: StartCall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MALFORMED_WINDOW_SECONDS", 600.0)  # the machine may be loaded
    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        async with kind.connect(server, stream) as peer:
            for _ in range(50):
                await peer.send_raw(message)
            await until(calls, stream, SpeechPlayed)
            await peer.send_raw(message)
            assert await peer.close_code() == 1003
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_a_message_that_is_too_long_ends_the_stream(
    kind: Kind, server: StreamServer, calls: EventLog, start: Start, start_call: StartCall
) -> None:
    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        async with kind.connect(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            await kind.send_too_much(peer)
            assert await peer.close_code() == 1009
        assert await reason(calls, stream) is MediaClosedReason.MALFORMED


async def test_the_same_generation_is_accepted_once_and_a_higher_one_ends_it(
    kind: Kind, server: StreamServer, calls: EventLog, start: Start, start_call: StartCall
) -> None:
    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        async with kind.connect(server, stream) as first:
            await until(calls, stream, SpeechPlayed)
            async with kind.connect(server, stream) as same:
                assert await same.close_code() == 1008
            newer = StreamId(stream.call_id, stream.attempt, 2)
            async with kind.connect(server, newer) as second:
                await kind.assert_ended(first, MediaClosedReason.SUPERSEDED)
                assert await reason(calls, stream) is MediaClosedReason.SUPERSEDED
                await kind.take_turn(server, calls, newer, second)
            async with kind.connect(server, stream) as late:
                assert await late.close_code() == 1008


async def test_a_lost_connection_is_reported(
    kind: Kind, server: StreamServer, calls: EventLog, start: Start, start_call: StartCall
) -> None:
    async with kind.undisturbed(server, calls, start_call):
        stream = await start()
        async with kind.connect(server, stream) as peer:
            await until(calls, stream, SpeechPlayed)
            peer.transport.abort()
        assert await reason(calls, stream) is MediaClosedReason.DROPPED


async def test_a_drain_ends_all_streams_and_refuses_new_ones(
    kind: Kind, server: StreamServer, calls: EventLog, start: Start
) -> None:
    streams = [await start(), await start()]
    async with kind.connect(server, streams[0]) as first, kind.connect(server, streams[1]) as second:
        for stream in streams:
            await until(calls, stream, SpeechPlayed)
        await server.calls.drain()
        for peer in (first, second):
            await kind.assert_ended(peer, MediaClosedReason.DRAINED)
    for stream in streams:
        assert await reason(calls, stream) is MediaClosedReason.DRAINED
    late = await start()
    assert await server.refusal(late, path=kind.path(server, late)) == 503
