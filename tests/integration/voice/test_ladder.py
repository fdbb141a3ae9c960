"""What stands in for the voice that was asked for, step by step, and what is recorded of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from starlette.applications import Starlette

from chassis.log import Log
from chassis.media_tokens import sign
from contracts import AudioFailed, AudioReady, AudioRequested, CallStatusChanged, DialPlaced, SpeechStep
from providers import Provider, State
from simulators.faults import FaultRule
from simulators.server import Simulators
from simulators.serving import serving
from voice.adapters import elevenlabs
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.guarded import GuardedSpeech
from voice.adapters.spoken_facts import LoggedFacts
from voice.adapters.twilio import Twilio
from voice.application.handover import Handover
from voice.application.speech import Speaking
from voice.application.turns import Turns
from voice.domain.mp3 import FrameCutter
from voice.entrypoints.media import build_routes
from voice.ports import DialOrder, Speech

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]
KEY = "a-key"
SENTENCE = "Your appointment is on Monday at ten."
DOWN = [FaultRule(target="elevenlabs", kind="status", status=500)]
FIRST_DOWN = [FaultRule(target="elevenlabs", path="first", kind="status", status=500)]


@pytest.fixture
def providers() -> dict[str, Provider]:
    """So quick to open that a test sees it."""
    places = asyncio.Semaphore(4)
    names = ("test_elevenlabs", "test_elevenlabs_fallback")
    return {name: Provider(name, places=places, failures=2, cool_down=0.2) for name in names}


@pytest.fixture
async def voices(simulators: Simulators, providers: dict[str, Provider]) -> AsyncIterator[list[Speech]]:
    async with elevenlabs.connect(api_key="k", base_url=simulators.elevenlabs_url) as account:
        first = ElevenLabs(account, voice="first", model="eleven_flash_v2_5")
        second = ElevenLabs(account, voice="second", model="eleven_multilingual_v2", only_voice=True)
        yield [
            GuardedSpeech(speech, provider)
            for speech, provider in zip((first, second), providers.values(), strict=True)
        ]


@pytest.fixture
def speaking(voices: list[Speech], clips: ObjectStoreClips, calls: Log) -> Speaking:
    return Speaking(voices, clips, calls, deadline=2)


@pytest.fixture
def speak(calls: Log, speaking: Speaking, begin: Begin, ask: Ask) -> Callable[..., Awaitable[AudioReady | AudioFailed]]:
    """Asks for a sentence in a call of its own, speaks it, and gives what the log says of it."""

    async def speak(text: str = SENTENCE, *, repeats: bool = False, sentence: int = 0) -> AudioReady | AudioFailed:
        event = await begin()
        await ask(event, 1, sentence, text, repeats=repeats)
        asked = await calls.last(f"{AudioRequested.fact}.{event.call_id}")
        assert asked is not None
        assert isinstance(asked.event, AudioRequested)
        heard = bytearray()
        await speaking.speak(asked, asked.event, heard.extend)
        [fact] = await calls.read((f"audio.ready.{event.call_id}", f"audio.failed.{event.call_id}"))
        assert isinstance(fact.event, AudioReady | AudioFailed)
        assert isinstance(fact.event, AudioReady) is bool(heard)
        return fact.event

    return speak


Speak = Callable[..., Awaitable[AudioReady | AudioFailed]]


def counted(step: SpeechStep) -> float:
    return REGISTRY.get_sample_value("centralita_fallbacks_total", {"step": step.value}) or 0.0


async def test_the_voice_that_was_asked_for_is_no_fallback(speak: Speak) -> None:
    ready = await speak()
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, ready.cached, ready.provider) == (None, False, "elevenlabs")


async def test_a_voice_that_fails_gives_way_to_the_second(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = FIRST_DOWN
    before = counted(SpeechStep.SECOND_VOICE)
    ready = await speak()
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, ready.cached) == (SpeechStep.SECOND_VOICE, False)
    assert counted(SpeechStep.SECOND_VOICE) == before + 1


async def test_a_voice_that_does_not_begin_leaves_the_second_its_time(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", path="first", kind="latency", seconds=5)]
    ready = await speak()
    assert isinstance(ready, AudioReady)
    assert ready.fallback is SpeechStep.SECOND_VOICE


async def test_what_the_second_voice_has_kept_is_not_made_again(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = FIRST_DOWN
    made = await speak(repeats=True)
    simulators.faults.rules = DOWN
    found = await speak(repeats=True)
    assert isinstance(made, AudioReady)
    assert isinstance(found, AudioReady)
    assert (found.fallback, found.cached, found.digest) == (SpeechStep.SECOND_VOICE, True, made.digest)


async def test_when_nobody_speaks_a_clip_of_the_same_line_is_heard_whoever_spoke_it(
    speak: Speak, simulators: Simulators
) -> None:
    simulators.faults.rules = FIRST_DOWN
    made = await speak(repeats=True)
    simulators.faults.rules = DOWN
    before = counted(SpeechStep.CLIP)
    found = await speak()
    assert isinstance(made, AudioReady)
    assert isinstance(found, AudioReady)
    assert (found.fallback, found.cached, found.digest) == (SpeechStep.CLIP, True, made.digest)
    assert counted(SpeechStep.CLIP) == before + 1


@pytest.mark.parametrize("times", [1, 2])
async def test_a_line_that_is_spoken_twice_is_worth_keeping(speak: Speak, simulators: Simulators, times: int) -> None:
    for _ in range(times):
        await speak()
    simulators.faults.rules = DOWN
    assert isinstance(await speak(), AudioReady if times == 2 else AudioFailed)


async def test_when_there_is_no_clip_either_the_turn_is_handed_over(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = DOWN
    before = counted(SpeechStep.SAY)
    failed, later = await speak(), await speak(sentence=1)
    assert isinstance(failed, AudioFailed)
    assert isinstance(later, AudioFailed)
    assert (failed.fallback, later.fallback) == ("say", None), "only a turn of which nothing was heard"
    assert counted(SpeechStep.SAY) == before + 1


async def test_a_vendor_that_kept_failing_is_not_asked_until_it_has_cooled_down(
    speak: Speak, simulators: Simulators, providers: dict[str, Provider]
) -> None:
    first, second = (provider.breaker for provider in providers.values())
    simulators.faults.rules = FIRST_DOWN
    await speak()
    assert (first.state, second.state) == (State.OPEN, State.CLOSED)
    simulators.faults.rules = [FaultRule(target="elevenlabs", path="second", kind="status", status=500)]
    failed = await speak("Another sentence.")
    assert isinstance(failed, AudioFailed), "the first is well again, and is left alone"
    await asyncio.sleep(0.25)
    ready = await speak("A third sentence.")
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, first.state) == (None, State.CLOSED)


@dataclass
class FakeMouthpiece:
    """Keeps what it was asked to say."""

    said: list[tuple[str, UUID, int, int]] = field(default_factory=list)
    broken: bool = False

    async def say_reply(self, provider_call_id: str, call_id: UUID, attempt: int, turn: int) -> None:
        if self.broken:
            raise TimeoutError
        self.said.append((provider_call_id, call_id, attempt, turn))


@pytest.fixture
def mouthpiece() -> FakeMouthpiece:
    return FakeMouthpiece()


@pytest.fixture
async def media(
    calls: Log, bus_client: Client, speaking: Speaking, mouthpiece: FakeMouthpiece
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the media route."""
    turns = Turns(calls, LoggedFacts(bus_client), speaking, patience=5)
    app = Starlette(routes=build_routes(turns, Handover(calls, mouthpiece), KEY))
    async with serving(app, "127.0.0.1") as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


async def listen(media: httpx.AsyncClient, event: CallStatusChanged, **query: str) -> bytes:
    path = f"/media/{event.call_id}/{event.attempt}/1"
    answer = await media.get(path, params={"token": sign(KEY, path), **query})
    assert answer.status_code == 200
    return answer.content


async def placed(calls: Log, begin: Begin, ask: Ask, *texts: str) -> CallStatusChanged:
    """A call that the provider has taken, with a first turn to speak."""
    event = await begin()
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA1"))
    for number, text in enumerate(texts):
        await ask(event, 1, number, text)
    return event


async def until_said(mouthpiece: FakeMouthpiece) -> None:
    async with asyncio.timeout(10):
        while not mouthpiece.said:
            await asyncio.sleep(0.01)


async def test_a_turn_of_which_nothing_can_be_heard_is_said_by_the_provider_all_of_it(
    media: httpx.AsyncClient, calls: Log, begin: Begin, ask: Ask, simulators: Simulators, mouthpiece: FakeMouthpiece
) -> None:
    event = await placed(calls, begin, ask, "First.", "Second.")
    simulators.faults.rules = DOWN
    assert await listen(media, event) == b"", "also what could be spoken of the rest is not heard"
    await until_said(mouthpiece)
    assert mouthpiece.said == [("CA1", event.call_id, 1, 1)]
    facts = [recorded.event for recorded in await calls.read((f"audio.failed.{event.call_id}",))]
    assert {fact.sentence: fact.fallback for fact in facts if isinstance(fact, AudioFailed)}[0] == "say"


async def test_what_is_not_played_on_the_line_is_not_said_on_it(
    media: httpx.AsyncClient, calls: Log, begin: Begin, ask: Ask, simulators: Simulators, mouthpiece: FakeMouthpiece
) -> None:
    aside, on_the_line = [await placed(calls, begin, ask, "First.") for _ in range(2)]
    simulators.faults.rules = DOWN
    assert await listen(media, aside, aside="true") == b""
    assert await listen(media, on_the_line) == b""
    await until_said(mouthpiece)
    assert [call_id for _, call_id, _, _ in mouthpiece.said] == [on_the_line.call_id]


async def test_a_provider_that_cannot_be_asked_costs_nothing_else(
    media: httpx.AsyncClient, calls: Log, begin: Begin, ask: Ask, simulators: Simulators, mouthpiece: FakeMouthpiece
) -> None:
    event = await placed(calls, begin, ask, "First.")
    mouthpiece.broken = True
    simulators.faults.rules = DOWN
    assert await listen(media, event) == b""
    simulators.faults.rules = []
    await asyncio.sleep(0.25)
    audio = await listen(media, event)
    assert FrameCutter().feed(audio) == audio != b""


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
        await telephony.say_reply(sid, event.call_id, 1, 3)
        while not any(f"/twilio/say/{event.call_id}/1/3" in url for url in await fetched()):
            await asyncio.sleep(0.02)
        await telephony.hang_up(sid)
        await telephony.say_reply(sid, event.call_id, 1, 4)
    assert not any("/1/4" in url for url in await fetched())
