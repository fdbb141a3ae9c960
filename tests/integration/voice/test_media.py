"""The service as it runs: what Twilio downloads while it is being made, and the consumers behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from nats.aio.client import Client
from pydantic import AnyHttpUrl, SecretStr

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
    Service,
)
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators
from simulators.serving import serving
from telephony.media import sign
from voice.composition import build
from voice.domain.mp3 import FrameCutter
from voice.settings import Settings

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]
TOKEN = "simulated-auth-token"


@pytest.fixture
async def voice(
    nats_url: str, bus_client: Client, simulators: Simulators, edge_url: str
) -> AsyncIterator[httpx.AsyncClient]:
    """The service on a kernel's port, and a client of its HTTP side."""
    settings = Settings(
        nats_url=nats_url,
        app_base_url=AnyHttpUrl(edge_url),
        twilio_account_sid="AC" + "0" * 31 + "1",
        twilio_auth_token=SecretStr(TOKEN),
        twilio_phone_number="+12125550100",
        twilio_base_url=AnyHttpUrl(simulators.twilio_url),
        elevenlabs_api_key=SecretStr("fictional-key"),
        elevenlabs_base_url=AnyHttpUrl(simulators.elevenlabs_url),
        media_turn_timeout_seconds=3,
    )
    bus = await connect_bus(Service.VOICE, nats_url)
    try:
        async with build(settings, bus) as app, serving(app, "127.0.0.1") as url:
            await bus.broker.start()
            async with httpx.AsyncClient(base_url=url, timeout=10) as caller:
                yield caller
            await bus.broker.stop()
    finally:
        await bus.broker.stop()


def path_of(event: CallStatusChanged, turn: int) -> str:
    return f"/media/{event.call_id}/{event.attempt}/{turn}"


@asynccontextmanager
async def playing(voice: httpx.AsyncClient, event: CallStatusChanged, turn: int) -> AsyncIterator[httpx.Response]:
    path = path_of(event, turn)
    async with voice.stream("GET", path, params={"token": sign(TOKEN, path)}) as response:
        yield response


async def played(voice: httpx.AsyncClient, event: CallStatusChanged, turn: int) -> bytes:
    async with playing(voice, event, turn) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        return await response.aread()


async def reply(calls: EventLog, event: CallStatusChanged, turn: int, sentences: int) -> None:
    await calls.append(
        ReplyGenerated(
            call_id=event.call_id,
            attempt=event.attempt,
            turn=turn,
            text="",
            sentences=sentences,
            model="m",
            latency_seconds=0,
        )
    )


async def until(fact: str, calls: EventLog) -> object:
    """The newest event on a filter, as soon as there is one."""
    while (recorded := await calls.last(fact)) is None:
        await asyncio.sleep(0.02)
    return recorded.event


async def test_the_first_sentence_is_heard_before_the_second_exists(
    voice: httpx.AsyncClient, calls: EventLog, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    async with playing(voice, event, 1) as response:
        pieces = response.aiter_raw()
        await ask(event, 1, 0, "Your appointment is on Monday.")
        audio = await anext(pieces)
        assert FrameCutter().feed(audio)
        await ask(event, 1, 1, "Does that suit you?")
        await reply(calls, event, 1, 2)
        audio += b"".join([piece async for piece in pieces])
    cutter = FrameCutter()
    assert cutter.feed(audio) == audio
    ready = [fact.event for fact in await calls.read((f"{AudioReady.event_name}.{event.call_id}",))]
    lengths = [fact.duration_seconds for fact in ready if isinstance(fact, AudioReady)]
    assert len(lengths) == 2
    assert cutter.seconds == pytest.approx(sum(lengths), abs=0.01)


async def test_a_turn_that_is_written_already_is_played_from_its_beginning_in_its_order(
    voice: httpx.AsyncClient, calls: EventLog, begin: Begin, ask: Ask
) -> None:
    event, straight = await begin(), await begin()
    for sentence in (1, 0):
        await ask(event, 1, sentence, f"Sentence number {sentence}.")
        await ask(straight, 1, 1 - sentence, f"Sentence number {1 - sentence}.")
    await ask(event, 1, 0, "Said again, and not heard.")
    await ask(event, 2, 0, "Of another turn.")
    for one in (event, straight):
        await reply(calls, one, 1, 2)
    assert await played(voice, event, 1) == await played(voice, straight, 1) != b""


async def test_the_greeting_serves_every_attempt(voice: httpx.AsyncClient, begin: Begin, ask: Ask) -> None:
    event = await begin(attempt=3, status=CallStatus.RINGING)
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    assert await played(voice, event, 0)


async def test_a_greeting_that_comes_late_is_waited_for(voice: httpx.AsyncClient, begin: Begin, ask: Ask) -> None:
    event = await begin(status=CallStatus.RINGING)
    async with playing(voice, event, 0) as response:
        await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
        assert await response.aread()


async def test_the_audio_ends_before_a_sentence_that_fails(
    voice: httpx.AsyncClient, calls: EventLog, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    event = await begin()
    await ask(event, 1, 0, "This one is heard.")
    async with playing(voice, event, 1) as response:
        await until(f"{AudioReady.event_name}.{event.call_id}", calls)
        simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500, remaining=2)]
        await ask(event, 1, 1, "This one is lost, and so is what comes behind it.")
        audio = await response.aread()
    failed = await until(f"{AudioFailed.event_name}.{event.call_id}", calls)
    assert isinstance(failed, AudioFailed)
    assert (failed.sentence, failed.fallback) == (1, "say")
    [ready] = [fact.event for fact in await calls.read((f"{AudioReady.event_name}.{event.call_id}",))]
    assert isinstance(ready, AudioReady)
    cutter = FrameCutter()
    assert cutter.feed(audio) == audio
    assert cutter.seconds == pytest.approx(ready.duration_seconds, abs=0.01)


async def test_a_turn_of_which_nothing_comes_ends(voice: httpx.AsyncClient, begin: Begin) -> None:
    assert await played(voice, await begin(), 1) == b""


async def test_a_turn_that_breaks_off_is_heard_as_far_as_it_goes(
    voice: httpx.AsyncClient, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    await ask(event, 1, 0, "The model stops after this.")
    assert await played(voice, event, 1)


@pytest.mark.parametrize("token", ["", "forged", sign("another key", "/media")])
async def test_a_forged_token_is_forbidden(token: str, voice: httpx.AsyncClient, begin: Begin, ask: Ask) -> None:
    event = await begin()
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    response = await voice.get(path_of(event, 0), params={"token": token})
    assert response.status_code == 403


async def test_the_token_of_one_turn_opens_no_other(voice: httpx.AsyncClient, begin: Begin) -> None:
    event = await begin()
    response = await voice.get(path_of(event, 2), params={"token": sign(TOKEN, path_of(event, 1))})
    assert response.status_code == 403


async def test_a_listener_who_leaves_leaves_nothing_behind(
    voice: httpx.AsyncClient, begin: Begin, ask: Ask, bus_client: Client
) -> None:
    js = bus_client.jetstream()
    standing = len(await js.consumers_info(CALLS.name))
    event = await begin()
    async with playing(voice, event, 1) as response:
        await ask(event, 1, 0, "You will not hear all of this, because you hang up in the middle of it.")
        await anext(response.aiter_raw())
        assert len(await js.consumers_info(CALLS.name)) == standing + 1
    while len(await js.consumers_info(CALLS.name)) > standing:
        await asyncio.sleep(0.1)


async def test_the_services_consumers_dial_look_up_and_hang_up(
    voice: httpx.AsyncClient, calls: EventLog, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    event = await begin()
    placed = await until(f"{DialPlaced.event_name}.{event.call_id}", calls)
    assert isinstance(placed, DialPlaced)
    await calls.append(CallSettlementRequested(call=event.call, occurred_at=event.occurred_at))
    answer = await until(f"{DialLookedUp.event_name}.{event.call_id}", calls)
    assert isinstance(answer, DialLookedUp)
    assert answer.provider_call_id == placed.provider_call_id
    await calls.append(CallHangupRequested(call=event.call, occurred_at=event.occurred_at))
    while simulators.ledger.calls[0].status not in ("completed", "canceled"):
        await asyncio.sleep(0.02)
    assert len(await calls.read((f"{DialClaimed.event_name}.{event.call_id}",))) == 1
    ready = await voice.get("/health/ready")
    assert ready.status_code == 200
    metrics = (await voice.get("/metrics")).text
    assert 'centralita_dials_total{outcome="placed"}' in metrics


async def test_a_greeting_that_is_asked_for_becomes_a_clip(
    voice: httpx.AsyncClient, calls: EventLog, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    event = await begin(status=CallStatus.PENDING, attempt=0)
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    await until(f"{AudioReady.event_name}.{event.call_id}", calls)
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    assert await played(voice, event, 0)
