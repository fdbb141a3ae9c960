"""The media gateway against a double of Media Streams that others wrote (streamdouble), as an independent oracle.

Our own simulator could share a mistake with the gateway. This double has its own reading of Twilio's documents: it
reports each message that breaks the protocol, and returns marks by its own clock.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import websockets
from streamdouble import session as double  # type: ignore[import-untyped]
from streamdouble.chaos import Impairments  # type: ignore[import-untyped]
from streamdouble.scenario import Say, Scenario  # type: ignore[import-untyped]
from tests.builders.turns import a_reply, a_sentence
from tests.fakes.live import SILENCE, VOICE, speech_of
from tests.fakes.stream_peer import HEADER, KEY, PUBLIC_URL, TOKEN, StreamServer
from tests.integration.voice.conftest import StartCall
from tests.integration.voice.stream_kinds import AUDIO, reason, server, until
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.event_log import EventLog
from contracts import MediaClosedReason, SpeechHeard, SpeechInterrupted, SpeechPlayed
from telephony.media import sign
from voice.application.live.live_calls import StreamId

__all__ = ["server"]  # a fixture

GREETING = "Hi."
ANSWER = "This is an answer that takes some seconds to say, so that it can be interrupted. "


class Callee:
    """Says `frame` again and again, until the call is over."""

    def __init__(self) -> None:
        self.frame = SILENCE
        self.is_over = False

    def __iter__(self) -> Iterator[bytes]:
        while not self.is_over:
            yield self.frame


class DoubledCall:
    """A stream that the double has opened, and what the callee does on it."""

    def __init__(self, server: StreamServer, calls: EventLog, stream: StreamId, running: double.Session) -> None:
        self._server = server
        self._calls = calls
        self._stream = stream
        self.session = running
        self.callee = Callee()

    async def talk(self, words: str) -> SpeechHeard:
        """The callee says something. Returns the turn that it became."""
        transcriber = self._server.vendors[self._stream.call_id].transcriber
        begin = len(transcriber.audio)
        self.callee.frame = VOICE
        while bytes(transcriber.audio[begin:]).count(VOICE) < 15:
            await asyncio.sleep(0.02)
        transcriber.hear(words)
        while bytes(transcriber.audio[begin:]).count(VOICE) < 30:
            await asyncio.sleep(0.02)
        self.callee.frame = SILENCE
        while True:
            heard = await until(self._calls, self._stream, SpeechHeard)
            if isinstance(heard, SpeechHeard) and heard.text == words:
                return heard
            await asyncio.sleep(0.02)

    async def answer(self, turn: int, *sentences: str) -> None:
        for number, sentence in enumerate(sentences):
            await self._calls.append(a_sentence(self._stream.call_id, turn, number, sentence))
        reply = a_reply(self._stream.call_id, turn, " ".join(sentences))
        await self._calls.append(reply.model_copy(update={"sentences": len(sentences)}))


@asynccontextmanager
async def doubled(
    server: StreamServer,
    calls: EventLog,
    stream: StreamId,
    monkeypatch: pytest.MonkeyPatch,
    impairments: Impairments | None = None,
) -> AsyncIterator[DoubledCall]:
    """Opens a stream with the double, which hangs up after the block. It must not have found a violation."""
    path = server.path(stream)
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC_URL + path, {})
    connect = functools.partial(websockets.connect, additional_headers={HEADER: signature})
    monkeypatch.setattr(double.websockets, "connect", connect)
    config = double.SessionConfig(
        response_timeout_s=100,
        max_drain_s=0.1,
        custom_parameters={"token": sign(KEY, path)},
        impairments=impairments or Impairments(),
    )
    callee = Callee()
    script = Scenario("call", [Say(Path("callee"), cast("list[bytes]", callee))])
    running = double.Session(f"ws://127.0.0.1:{server.port}{path}", scenario=script, config=config)
    call = DoubledCall(server, calls, stream, running)
    call.callee = callee
    task = asyncio.create_task(running.run())
    try:
        await until(calls, stream, SpeechPlayed, 0)
        yield call
    finally:
        callee.is_over = True
        result = await task
    assert (result.violations, result.warnings, result.unknown_events, result.closed_early) == ([], [], [], False)
    assert await reason(calls, stream) is MediaClosedReason.HANG_UP


@pytest.mark.parametrize("impairments", [Impairments(), Impairments(loss=0.05, jitter_ms=15)])
async def test_the_double_hears_a_conversation_without_a_violation(
    server: StreamServer,
    calls: EventLog,
    start_call: StartCall,
    monkeypatch: pytest.MonkeyPatch,
    impairments: Impairments,
) -> None:
    stream = await AUDIO.start(start_call)
    async with doubled(server, calls, stream, monkeypatch, impairments) as call:
        heard = await call.talk("Who is this?")
        await call.answer(heard.turn, "Ana.", "How are you?")
        await until(calls, stream, SpeechPlayed, heard.turn)
        result = call.session.result
        assert result.marks_echoed == result.marks_received
        assert len(result.marks_echoed) >= 3
    assert call.session.result.audio_received.startswith(speech_of(GREETING))


async def test_the_double_clears_what_it_has_not_played_when_the_callee_interrupts(
    server: StreamServer, calls: EventLog, start_call: StartCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await AUDIO.start(start_call)
    async with doubled(server, calls, stream, monkeypatch) as call:
        heard = await call.talk("Who is this?")
        before = call.session.result.media_frames_received
        await call.answer(heard.turn, *[ANSWER] * 20)
        while call.session.result.media_frames_received < before + 50:
            await asyncio.sleep(0.02)
        await call.talk("Wait a moment, please.")
        interrupted = await until(calls, stream, SpeechInterrupted)
        assert isinstance(interrupted, SpeechInterrupted)
        assert interrupted.heard
        assert (ANSWER * 20).startswith(interrupted.heard.split(".")[0])
        assert call.session.result.clears_received >= 1
