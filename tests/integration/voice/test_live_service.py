"""The composed service conducts a live call: the simulated vendor hears and speaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from nats.aio.client import Client
from pydantic import AnyHttpUrl, SecretStr, WebsocketUrl
from structlog.testing import capture_logs
from tests.builders.spoken_audio import speak
from tests.builders.turns import a_reply, a_sentence
from tests.fakes.stream_peer import PUBLIC_URL, TOKEN, StreamServer
from tests.integration.simulators.sockets import Vendor, elevenlabs
from tests.integration.voice.conftest import StartCall

from chassis.event_log import EventLog
from chassis.serve import connect_bus
from contracts import AudioReady, CallStatus, MediaClosed, MediaClosedReason, Service, SpeechHeard, SpeechPlayed
from contracts.event import CallEvent
from contracts.vocabulary import ConversationMode
from simulators.elevenlabs.timing import Timing, TranscriptionTiming
from voice.application.live.live_calls import StreamId
from voice.composition import build
from voice.settings import Settings

FRAME_BYTES = 160


@asynccontextmanager
async def service(nats_url: str, vendor: Vendor, edge_url: str) -> AsyncIterator[StreamServer]:
    settings = Settings(
        nats_url=nats_url,
        app_base_url=AnyHttpUrl(edge_url),
        twilio_account_sid="AC" + "0" * 31 + "1",
        twilio_auth_token=SecretStr(TOKEN),
        twilio_phone_number="+12125550100",
        twilio_base_url=AnyHttpUrl(edge_url),
        elevenlabs_api_key=SecretStr("fictional"),
        elevenlabs_base_url=AnyHttpUrl(vendor.origin),
        live_base_url=WebsocketUrl(PUBLIC_URL),
        live_port=0,
        live_max_lag_seconds=60,
    )
    bus = await connect_bus(Service.VOICE, nats_url)
    try:
        with capture_logs() as logs:
            async with build(settings, bus), bus.before_drain, aiohttp.ClientSession() as http:
                (port,) = [line["port"] for line in logs if line["event"] == "media_streams_accepted"]
                yield StreamServer(port, None, http, {})  # type: ignore[arg-type]
    finally:
        await bus.broker.stop()


async def until(calls: EventLog, stream: StreamId, kind: type[CallEvent], turn: int | None = None) -> CallEvent:
    async with asyncio.timeout(60):
        while True:
            stored = await calls.last(kind.subject_for(stream.call_id))
            if stored and isinstance(stored.event, kind) and turn in (None, getattr(stored.event, "turn", None)):
                return stored.event
            await asyncio.sleep(0.02)


async def test_a_live_call_is_greeted_heard_and_answered(
    nats_url: str, bus_client: Client, calls: EventLog, edge_url: str, start_call: StartCall
) -> None:
    del bus_client
    timing = Timing(transcription=TranscriptionTiming(cold_start_seconds=0))
    async with elevenlabs(timing=timing) as vendor, service(nats_url, vendor, edge_url) as server:
        event = await start_call(
            CallStatus.IN_PROGRESS,
            mode=ConversationMode.LIVE,
            script_template="Hello.\n\nSell.",
            variables={},
        )
        stream = StreamId(event.call_id, event.attempt, 1)
        async with server.stream(stream) as peer:
            await until(calls, stream, SpeechPlayed)
            audio = speak(vendor.words, "Who is this?")
            for start in range(0, len(audio), FRAME_BYTES):
                peer.frame = audio[start : start + FRAME_BYTES]
                await peer.frame_sent()
            peer.frame = b"\xff" * FRAME_BYTES
            heard = await until(calls, stream, SpeechHeard)
            assert isinstance(heard, SpeechHeard)
            assert heard.text == "Who is this?"
            await calls.append(a_sentence(stream.call_id, heard.turn, 0, "This is Ana."))
            await calls.append(a_reply(stream.call_id, heard.turn, "This is Ana."))
            await until(calls, stream, SpeechPlayed, heard.turn)
            ready = await until(calls, stream, AudioReady, heard.turn)
            assert isinstance(ready, AudioReady)
            assert (ready.provider, ready.is_cached) == ("elevenlabs", False)
            assert len(peer.audio) > 8000
        closed = await until(calls, stream, MediaClosed)
        assert isinstance(closed, MediaClosed)
        assert closed.reason is MediaClosedReason.DROPPED
