"""What nobody here can speak of a turn is said on the line by the provider's voice: from where, when, and when not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from starlette.applications import Starlette

from chassis.event_log import EventLog
from contracts import (
    AudioFailed,
    AudioReady,
    CallStatus,
    CallStatusChanged,
    DialPlaced,
    Event,
    HangupReason,
    SpeechHeard,
)
from simulators.faults import FaultRule
from simulators.server import Simulators
from simulators.serving import serving
from telephony.media import sign
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.spoken_facts import LoggedFacts
from voice.adapters.twilio import Twilio
from voice.application.speech.synthesis import Speaking
from voice.application.speech.turns import Turns
from voice.application.telephony.handover import Handover
from voice.domain.mp3 import FrameCutter
from voice.domain.playback import UnplayedRemainder
from voice.entrypoints.media import build_routes
from voice.ports import DialOrder

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]
KEY = "a-key"
TEXTS = ("The first sentence.", "The second sentence.", "The third sentence.")
NOW = 0.0
"""An instant that has passed by any clock."""


def fails(*of: str) -> list[FaultRule]:
    return [FaultRule(target="elevenlabs", request_body=text, kind="status", status=500) for text in of]


@dataclass
class FakeMouthpiece:
    """Keeps what it was asked to say."""

    said: list[tuple[str, UUID, int, int, int]] = field(default_factory=list)
    broken: bool = False

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int
    ) -> None:
        if self.broken:
            raise TimeoutError
        self.said.append((provider_call_id, call_id, attempt, turn, sentence))


@pytest.fixture
def mouthpiece() -> FakeMouthpiece:
    return FakeMouthpiece()


@pytest.fixture
async def handover(calls: EventLog, mouthpiece: FakeMouthpiece) -> AsyncIterator[Handover]:
    async with aclosing(Handover(calls, mouthpiece)) as handover:
        yield handover


@pytest.fixture
def turns(calls: EventLog, bus_client: Client, speech: ElevenLabs, clips: ObjectStoreClips) -> Turns:
    """So patient that a turn which is given up while its reply is being made must not wait for the rest of it."""
    return Turns(calls, LoggedFacts(bus_client), Speaking([speech], clips, calls), patience=3600)


@pytest.fixture
async def media(turns: Turns, handover: Handover) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the media route."""
    app = Starlette(routes=build_routes(turns, handover, KEY))
    async with serving(app, "127.0.0.1") as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
async def event(calls: EventLog, begin: Begin, ask: Ask) -> CallStatusChanged:
    """A call that the provider has taken, with a first turn to speak."""
    event = await begin()
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA1"))
    for number, text in enumerate(TEXTS):
        await ask(event, 1, number, text)
    return event


async def listen(media: httpx.AsyncClient, event: CallStatusChanged, **query: str) -> bytes:
    path = f"/media/{event.call_id}/{event.attempt}/1"
    answer = await media.get(path, params={"token": sign(KEY, path), **query})
    assert answer.status_code == 200
    return answer.content


async def outcomes(calls: EventLog, event: CallStatusChanged) -> list[Event]:
    facts = await calls.read((f"{AudioReady.event_name}.{event.call_id}", f"{AudioFailed.event_name}.{event.call_id}"))
    return [recorded.event for recorded in facts]


async def failures(calls: EventLog, event: CallStatusChanged) -> list[tuple[int, str | None]]:
    facts = await outcomes(calls, event)
    return [(fact.sentence, fact.fallback) for fact in facts if isinstance(fact, AudioFailed)]


def counted() -> float:
    return REGISTRY.get_sample_value("centralita_fallbacks_total", {"step": "say"}) or 0.0


async def until_said(mouthpiece: FakeMouthpiece) -> None:
    async with asyncio.timeout(20):
        while not mouthpiece.said:
            await asyncio.sleep(0.01)


async def test_the_rest_of_a_turn_is_said_on_its_line(
    media: httpx.AsyncClient, event: CallStatusChanged, simulators: Simulators, mouthpiece: FakeMouthpiece
) -> None:
    simulators.faults.rules = fails("second")
    audio = await listen(media, event)
    assert FrameCutter().feed(audio) == audio != b""
    await until_said(mouthpiece)
    assert mouthpiece.said == [("CA1", event.call_id, 1, 1, 1)]


async def test_what_is_not_played_on_the_line_is_not_said_on_it(
    media: httpx.AsyncClient,
    calls: EventLog,
    event: CallStatusChanged,
    simulators: Simulators,
    mouthpiece: FakeMouthpiece,
) -> None:
    simulators.faults.rules = fails("first")
    before = counted()
    assert await listen(media, event, aside="true") == b""
    assert await failures(calls, event) == [(0, None)]
    assert counted() == before
    simulators.faults.rules = fails("second")
    await listen(media, event)
    await until_said(mouthpiece)
    assert [sentence for *_, sentence in mouthpiece.said] == [1]


async def test_nothing_is_said_over_what_is_still_being_heard(
    handover: Handover, calls: EventLog, begin: Begin, event: CallStatusChanged, mouthpiece: FakeMouthpiece
) -> None:
    other = await begin()
    await calls.append(DialPlaced(call_id=other.call_id, attempt=1, provider_call_id="CA2"))
    handover.begin(event.call_id, 1, 1, UnplayedRemainder(1, asyncio.get_running_loop().time() + 3600))
    await handover.begin(other.call_id, 1, 1, UnplayedRemainder(1, NOW))
    assert [sid for sid, *_ in mouthpiece.said] == ["CA2"]


async def test_the_playing_that_came_last_is_the_one_that_is_handed_over(
    handover: Handover, event: CallStatusChanged, mouthpiece: FakeMouthpiece
) -> None:
    much_later = asyncio.get_running_loop().time() + 3600
    replaced = handover.begin(event.call_id, 1, 1, UnplayedRemainder(1, much_later))
    await handover.begin(event.call_id, 1, 1, UnplayedRemainder(2, NOW))
    await asyncio.wait({replaced})
    assert replaced.cancelled()
    assert mouthpiece.said == [("CA1", event.call_id, 1, 1, 2)]


async def test_what_is_under_way_when_the_service_ends_is_left_to_the_edge(
    handover: Handover, event: CallStatusChanged, mouthpiece: FakeMouthpiece
) -> None:
    waiting = handover.begin(event.call_id, 1, 1, UnplayedRemainder(1, asyncio.get_running_loop().time() + 3600))
    await asyncio.sleep(0)
    await handover.aclose()
    assert waiting.cancelled()
    assert not mouthpiece.said


async def test_a_provider_that_cannot_be_asked_costs_nothing_else(
    handover: Handover, event: CallStatusChanged, mouthpiece: FakeMouthpiece
) -> None:
    mouthpiece.broken = True
    await handover.begin(event.call_id, 1, 1, UnplayedRemainder(1, NOW))
    mouthpiece.broken = False
    await handover.begin(event.call_id, 1, 1, UnplayedRemainder(1, NOW))
    assert len(mouthpiece.said) == 1


@pytest.mark.parametrize(
    ("heard", "turn", "said"), [((1, 1), 1, True), ((1, 2), 1, False), ((1, 2), 2, True), ((2, 1), 1, False)]
)
async def test_a_turn_is_not_said_over_a_newer_one(
    handover: Handover,
    calls: EventLog,
    event: CallStatusChanged,
    mouthpiece: FakeMouthpiece,
    heard: tuple[int, int],
    turn: int,
    said: bool,
) -> None:
    attempt, newest = heard
    await calls.append(
        SpeechHeard(call_id=event.call_id, attempt=attempt, turn=newest, text="Who is it?", language="en")
    )
    await handover.begin(event.call_id, 1, turn, UnplayedRemainder(1, NOW))
    assert bool(mouthpiece.said) is said


@pytest.mark.parametrize(
    "over", [{"status": CallStatus.COMPLETED}, {"hangup_reason": HangupReason.CANCELED}, {"attempt": 2}]
)
async def test_a_line_that_is_over_is_left_alone(
    handover: Handover, calls: EventLog, event: CallStatusChanged, mouthpiece: FakeMouthpiece, over: dict[str, object]
) -> None:
    call = event.call.model_copy(update=over)
    await calls.append(event.model_copy(update={"call": call, "status": call.status, "attempt": call.attempt}))
    await handover.begin(event.call_id, 1, 1, UnplayedRemainder(1, NOW))
    assert not mouthpiece.said


async def test_a_line_that_nobody_knows_is_left_alone(
    handover: Handover, begin: Begin, mouthpiece: FakeMouthpiece
) -> None:
    await handover.begin((await begin()).call_id, 1, 1, UnplayedRemainder(1, NOW))
    assert not mouthpiece.said


async def test_a_call_in_progress_is_sent_to_the_document_that_says_the_turn(
    telephony: Twilio, begin: Begin, simulators: Simulators
) -> None:
    event = await begin()
    sid = await telephony.place(DialOrder(event.call_id, 1, "+12125550123", 30, 600))

    async def fetched() -> list[str]:
        return [entry.url for call in simulators.ledger.calls for entry in call.webhooks]

    async with asyncio.timeout(20):
        while not any("/twilio/voice/" in url for url in await fetched()):
            await asyncio.sleep(0.02)
        await telephony.redirect_to_remainder(sid, event.call_id, 1, 3, 2)
        while not any(f"/twilio/say/{event.call_id}/1/3?from=2#" in url for url in await fetched()):
            await asyncio.sleep(0.02)
        await telephony.hang_up(sid)
        await telephony.redirect_to_remainder(sid, event.call_id, 1, 4, 0)
    assert not any("/1/4" in url for url in await fetched())
