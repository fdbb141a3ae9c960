"""The composed service: the media route that streams turns, and the consumers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from nats.aio.client import Client
from pydantic import AnyHttpUrl, SecretStr
from tests.integration.voice.conftest import RequestAudio, StartCall

from chassis.event_log import EventLog
from chassis.serve import connect_bus
from contracts import (
    AudioFailed,
    AudioReady,
    CallHangupRequested,
    CallSettlementRequested,
    CallStatus,
    CallStatusChanged,
    DialClaimed,
    DialLookedUp,
    DialPlaced,
    ReplyGenerated,
    SentenceAudio,
    Service,
)
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators
from simulators.serving import serving
from telephony.media import derive_media_key, sign
from voice.application.speech import turns
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.composition import build
from voice.domain.mp3 import SILENCE, FrameCutter
from voice.settings import Settings

TOKEN = "simulated-auth-token"
KEY = derive_media_key(TOKEN)


@pytest.fixture
def turn_timeout_seconds() -> float:
    """How long a turn waits for its next sentence; a test of the time-out overrides it by parametrizing."""
    return 60.0


@pytest.fixture
def settings(
    nats_url: str, bus_client: Client, simulators: Simulators, edge_url: str, turn_timeout_seconds: float
) -> Settings:
    return Settings(
        nats_url=nats_url,
        app_base_url=AnyHttpUrl(edge_url),
        twilio_account_sid="AC" + "0" * 31 + "1",
        twilio_auth_token=SecretStr(TOKEN),
        twilio_phone_number="+12125550100",
        twilio_base_url=AnyHttpUrl(simulators.twilio_url),
        elevenlabs_api_key=SecretStr("fictional-key"),
        elevenlabs_base_url=AnyHttpUrl(simulators.elevenlabs_url),
        media_turn_timeout_seconds=turn_timeout_seconds,
        speech_deadline_seconds=20,
    )


@pytest.fixture
async def voice(nats_url: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running service's HTTP routes."""
    bus = await connect_bus(Service.VOICE, nats_url)
    try:
        async with build(settings, bus) as app, serving(app, "127.0.0.1") as url:
            await bus.broker.start()
            async with httpx.AsyncClient(base_url=url, timeout=60) as caller:
                yield caller
            await bus.broker.stop()
    finally:
        await bus.broker.stop()


def path_of(event: CallStatusChanged, turn: int) -> str:
    return f"/media/{event.call_id}/{event.attempt}/{turn}"


@asynccontextmanager
async def playing(voice: httpx.AsyncClient, event: CallStatusChanged, turn: int) -> AsyncIterator[httpx.Response]:
    path = path_of(event, turn)
    async with voice.stream("GET", path, params={"token": sign(KEY, path)}) as response:
        yield response


async def played(voice: httpx.AsyncClient, event: CallStatusChanged, turn: int) -> bytes:
    async with playing(voice, event, turn) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        return await response.aread()


async def reply(
    calls: EventLog, event: CallStatusChanged, turn: int, sentences: int, last_sentence: str | None = None
) -> None:
    await calls.append(
        ReplyGenerated(
            call_id=event.call_id,
            attempt=event.attempt,
            turn=turn,
            text="",
            sentences=sentences,
            last_sentence=last_sentence,
            model="m",
            latency_seconds=0,
        )
    )


async def wait_for(subject: str, calls: EventLog) -> object:
    """Returns the newest event on a subject, as soon as there is one."""
    while (stored := await calls.last(subject)) is None:
        await asyncio.sleep(0.02)
    return stored.event


async def test_the_first_sentence_is_streamed_before_the_second_exists(
    voice: httpx.AsyncClient, calls: EventLog, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    async with playing(voice, event, 1) as response:
        pieces = response.aiter_raw()
        await request_audio(event, 1, 0, "Your appointment is on Monday.")
        audio = await anext(pieces)
        assert FrameCutter().feed(audio)
        await request_audio(event, 1, 1, "Does that suit you?")
        await reply(calls, event, 1, 2)
        audio += b"".join([piece async for piece in pieces])
    cutter = FrameCutter()
    assert cutter.feed(audio) == audio
    ready = [stored.event for stored in await calls.read((AudioReady.subject_for(event.call_id),))]
    lengths = [[audio.duration_seconds for audio in one.sentences] for one in ready if isinstance(one, AudioReady)]
    assert [len(sentences) for sentences in lengths] == [2], "one event for the turn"
    assert cutter.seconds == pytest.approx(sum(lengths[0]), abs=0.01)


async def test_the_last_sentence_may_be_in_the_reply(
    voice: httpx.AsyncClient, calls: EventLog, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event, requested = await start_call(CallStatus.IN_PROGRESS), await start_call(CallStatus.IN_PROGRESS)
    for one in (event, requested):
        await request_audio(one, 1, 0, "Your appointment is on Monday.")
    await reply(calls, event, 1, 2, last_sentence="Does that suit you?")
    await request_audio(requested, 1, 1, "Does that suit you?")
    await reply(calls, requested, 1, 2)
    assert await played(voice, event, 1) == await played(voice, requested, 1) != b""


async def test_what_was_played_is_recorded_if_the_client_disconnects(
    voice: httpx.AsyncClient, calls: EventLog, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    await request_audio(event, 1, 0, "Yes.")
    await request_audio(event, 1, 1, "This is a longer sentence, which begins when the first is complete.")
    async with playing(voice, event, 1) as response:
        audio = FrameCutter()
        async for piece in response.aiter_raw():
            audio.feed(piece)
            if audio.seconds > 2:
                break
    ready = await wait_for(AudioReady.subject_for(event.call_id), calls)
    assert isinstance(ready, AudioReady)
    assert ready.sentence == 0


async def test_a_turn_whose_reply_is_complete_is_played_from_its_beginning_in_order(
    voice: httpx.AsyncClient, calls: EventLog, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event, in_order = await start_call(CallStatus.IN_PROGRESS), await start_call(CallStatus.IN_PROGRESS)
    for sentence in (1, 0):
        await request_audio(event, 1, sentence, f"Sentence number {sentence}.")
        await request_audio(in_order, 1, 1 - sentence, f"Sentence number {1 - sentence}.")
    await request_audio(event, 1, 0, "Requested again, and not played.")
    await request_audio(event, 2, 0, "Of another turn.")
    for one in (event, in_order):
        await reply(calls, one, 1, 2)
    assert await played(voice, event, 1) == await played(voice, in_order, 1) != b""


async def test_the_greeting_is_that_of_the_call_and_is_recorded_when_it_is_played(
    voice: httpx.AsyncClient, calls: EventLog, start_call: StartCall
) -> None:
    event = await start_call(
        attempt=3,
        status=CallStatus.RINGING,
        script_template="Hello {{name}}.\n\nConfirm the appointment.",
        variables={"name": "Ada"},
    )
    audio = await played(voice, event, 0)
    assert await played(voice, event, 0) == audio != b""
    [ready] = [stored.event for stored in await calls.read((f"audio.*.{event.call_id}",))]
    assert isinstance(ready, AudioReady)
    assert (ready.attempt, ready.turn, ready.sentence) == (3, 0, 0)


async def test_the_audio_ends_before_a_sentence_that_fails(
    voice: httpx.AsyncClient,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    await request_audio(event, 1, 0, "This one is played.")
    async with playing(voice, event, 1) as response:
        pieces = response.aiter_raw()
        audio = await anext(pieces)  # the synthesis of the first sentence has begun
        simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500, remaining=2)]
        await request_audio(event, 1, 1, "This one fails, and so does what follows.")
        audio += b"".join([piece async for piece in pieces])
    failed = await wait_for(AudioFailed.subject_for(event.call_id), calls)
    assert isinstance(failed, AudioFailed)
    assert (failed.sentence, failed.fallback) == (1, "say")
    [ready] = [stored.event for stored in await calls.read((AudioReady.subject_for(event.call_id),))]
    assert isinstance(ready, AudioReady)
    cutter = FrameCutter()
    assert cutter.feed(audio) == audio
    assert cutter.seconds == pytest.approx(ready.duration_seconds, abs=0.01)


async def test_a_turn_without_sentences_is_a_moment_of_silence(
    voice: httpx.AsyncClient, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    reply = ReplyGenerated(
        call_id=event.call_id, attempt=1, turn=1, text="", sentences=0, model="m", latency_seconds=0.1
    )
    await calls.append(reply)
    assert await played(voice, event, 1) == SILENCE
    assert await calls.last(f"audio.*.{event.call_id}") is None


@pytest.mark.parametrize("turn_timeout_seconds", [0.5])
async def test_a_turn_without_events_ends(voice: httpx.AsyncClient, start_call: StartCall) -> None:
    assert await played(voice, await start_call(CallStatus.IN_PROGRESS), 1) == SILENCE


@pytest.mark.parametrize("turn_timeout_seconds", [2.0])
async def test_a_turn_whose_reply_never_ends_is_played_up_to_its_last_sentence(
    voice: httpx.AsyncClient, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    await request_audio(event, 1, 0, "The model stops after this.")
    assert await played(voice, event, 1)


@pytest.mark.parametrize("token", ["", "forged", sign(b"another key", "/media")])
async def test_a_forged_token_is_forbidden(token: str, voice: httpx.AsyncClient, start_call: StartCall) -> None:
    event = await start_call()
    response = await voice.get(path_of(event, 0), params={"token": token})
    assert response.status_code == 403


async def test_a_token_is_valid_for_one_turn_only(voice: httpx.AsyncClient, start_call: StartCall) -> None:
    event = await start_call()
    response = await voice.get(path_of(event, 2), params={"token": sign(KEY, path_of(event, 1))})
    assert response.status_code == 403


async def test_a_turn_creates_no_consumer(
    voice: httpx.AsyncClient, start_call: StartCall, request_audio: RequestAudio, bus_client: Client
) -> None:
    js = bus_client.jetstream()
    event = await start_call(CallStatus.IN_PROGRESS)
    consumer_count = len(await js.consumers_info(CALLS.name))
    async with playing(voice, event, 1) as response:
        await request_audio(event, 1, 0, "You will not hear all of this, because you hang up before its end.")
        await anext(response.aiter_raw())
        assert len(await js.consumers_info(CALLS.name)) == consumer_count


async def test_the_consumers_dial_look_up_and_hang_up(
    voice: httpx.AsyncClient,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    event = await start_call()
    placed = await wait_for(DialPlaced.subject_for(event.call_id), calls)
    assert isinstance(placed, DialPlaced)
    await calls.append(CallSettlementRequested(call=event.call, occurred_at=event.occurred_at))
    answer = await wait_for(DialLookedUp.subject_for(event.call_id), calls)
    assert isinstance(answer, DialLookedUp)
    assert answer.provider_call_id == placed.provider_call_id
    await calls.append(CallHangupRequested(call=event.call, occurred_at=event.occurred_at))
    while simulators.ledger.calls[0].status not in ("completed", "canceled"):
        await asyncio.sleep(0.02)
    assert len(await calls.read((DialClaimed.subject_for(event.call_id),))) == 1
    ready = await voice.get("/health/ready")
    assert ready.status_code == 200
    metrics = (await voice.get("/metrics")).text
    assert 'centralita_dials_total{outcome="placed"}' in metrics


async def test_the_greeting_of_a_dialled_call_is_played_from_its_clip(
    voice: httpx.AsyncClient, calls: EventLog, start_call: StartCall, simulators: Simulators
) -> None:
    event = await start_call()
    await wait_for(DialPlaced.subject_for(event.call_id), calls)
    assert await calls.last(f"audio.*.{event.call_id}") is None, "nothing is recorded before it is played"
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    assert await played(voice, event, 0)
    ready = await wait_for(AudioReady.subject_for(event.call_id), calls)
    assert isinstance(ready, AudioReady)
    assert ready.is_cached


async def test_a_turn_that_is_being_recorded_is_recorded_before_the_service_stops(
    nats_url: str,
    settings: Settings,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_append, record_ready = asyncio.Event(), SpeechSynthesis.record_ready

    async def record_late(self: SpeechSynthesis, last: Sentence, audio: Sequence[SentenceAudio]) -> None:
        await may_append.wait()
        await record_ready(self, last, audio)

    monkeypatch.setattr(SpeechSynthesis, "record_ready", record_late)
    monkeypatch.setattr(turns, "MAX_RECORDING_SECONDS", 0.05)
    event = await start_call(CallStatus.IN_PROGRESS)
    await request_audio(event, 1, 0, "Your appointment is on Monday.")
    await reply(calls, event, 1, 1)
    bus = await connect_bus(Service.VOICE, nats_url)
    async with build(settings, bus) as app, serving(app, "127.0.0.1") as url:
        await bus.broker.start()
        async with httpx.AsyncClient(base_url=url, timeout=60) as caller:
            assert await played(caller, event, 1)
        # As `chassis.serve.run` stops a service.
        asyncio.get_running_loop().call_later(1, may_append.set)
        await bus.before_drain.aclose()
        await bus.broker.stop()
    assert await calls.last(AudioReady.subject_for(event.call_id)) is not None
