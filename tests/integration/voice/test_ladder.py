"""What stands in for the voice that was asked for, step by step, and what is recorded of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from tests.fakes.clock import ManualClock
from tests.fakes.providers import provider

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, AudioRequested, CallStatusChanged, SpeechFallback
from providers import BreakerState, Provider, RequestFailed
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters import elevenlabs
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.application.speech.synthesis import Speaking
from voice.ports import Speech

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]
SENTENCE = "Your appointment is on Monday at ten."
DOWN = [FaultRule(target="elevenlabs", kind="status", status=500)]
FIRST_DOWN = [FaultRule(target="elevenlabs", path="first", kind="status", status=500)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def providers(clock: ManualClock) -> dict[str, Provider]:
    """So quick to open that a test sees it."""
    capacity = asyncio.Semaphore(4)
    names = ("test_elevenlabs", "test_elevenlabs_fallback")
    return {name: provider(name, capacity=capacity, max_failures=2, clock=clock) for name in names}


@pytest.fixture
async def voices(simulators: Simulators, providers: dict[str, Provider]) -> AsyncIterator[list[Speech]]:
    first, second = providers.values()
    async with elevenlabs.connect(api_key="k", base_url=simulators.elevenlabs_url) as account:
        yield [
            ElevenLabs(account, first, voice="first", model="eleven_flash_v2_5"),
            ElevenLabs(account, second, voice="second", model="eleven_multilingual_v2", only_voice=True),
        ]


@pytest.fixture
def speaking(voices: list[Speech], clips: ObjectStoreClips, calls: EventLog) -> Speaking:
    return Speaking(voices, clips, calls, deadline=2)


@pytest.fixture
def speak(
    calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask
) -> Callable[..., Awaitable[AudioReady | AudioFailed]]:
    """Asks for a sentence in a call of its own, speaks it, and gives what the log says of it."""

    async def speak(text: str = SENTENCE, *, repeats: bool = False, sentence: int = 0) -> AudioReady | AudioFailed:
        event = await begin()
        await ask(event, 1, sentence, text, repeats=repeats)
        asked = await calls.last(f"{AudioRequested.event_name}.{event.call_id}")
        assert asked is not None
        assert isinstance(asked.event, AudioRequested)
        heard = bytearray()
        try:
            await speaking.speak(asked, asked.event, heard.extend)
        except RequestFailed as failed:
            await speaking.give_up(asked, asked.event, str(failed))
        [fact] = await calls.read((f"audio.ready.{event.call_id}", f"audio.failed.{event.call_id}"))
        assert isinstance(fact.event, AudioReady | AudioFailed)
        assert isinstance(fact.event, AudioReady) is bool(heard)
        return fact.event

    return speak


Speak = Callable[..., Awaitable[AudioReady | AudioFailed]]


def counted(step: SpeechFallback) -> float:
    return REGISTRY.get_sample_value("centralita_fallbacks_total", {"step": step.value}) or 0.0


async def test_the_voice_that_was_asked_for_is_no_fallback(speak: Speak) -> None:
    ready = await speak()
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, ready.is_cached, ready.provider) == (None, False, "elevenlabs")


async def test_a_voice_that_fails_gives_way_to_the_second(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = FIRST_DOWN
    before = counted(SpeechFallback.SECOND_VOICE)
    ready = await speak()
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, ready.is_cached) == (SpeechFallback.SECOND_VOICE, False)
    assert counted(SpeechFallback.SECOND_VOICE) == before + 1


async def test_a_voice_that_does_not_begin_leaves_the_second_its_time(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", path="first", kind="latency", seconds=5)]
    ready = await speak()
    assert isinstance(ready, AudioReady)
    assert ready.fallback is SpeechFallback.SECOND_VOICE


async def test_what_the_second_voice_has_kept_is_not_made_again(speak: Speak, simulators: Simulators) -> None:
    simulators.faults.rules = FIRST_DOWN
    made = await speak(repeats=True)
    simulators.faults.rules = DOWN
    found = await speak(repeats=True)
    assert isinstance(made, AudioReady)
    assert isinstance(found, AudioReady)
    assert (found.fallback, found.is_cached, found.digest) == (SpeechFallback.SECOND_VOICE, True, made.digest)


async def test_when_nobody_speaks_a_clip_of_the_same_line_is_heard_whoever_spoke_it(
    speak: Speak, simulators: Simulators
) -> None:
    simulators.faults.rules = FIRST_DOWN
    made = await speak(repeats=True)
    simulators.faults.rules = DOWN
    before = counted(SpeechFallback.CLIP)
    found = await speak()
    assert isinstance(made, AudioReady)
    assert isinstance(found, AudioReady)
    assert (found.fallback, found.is_cached, found.digest) == (SpeechFallback.CLIP, True, made.digest)
    assert counted(SpeechFallback.CLIP) == before + 1


@pytest.mark.parametrize("times", [1, 2])
async def test_a_line_that_is_spoken_twice_is_worth_keeping(speak: Speak, simulators: Simulators, times: int) -> None:
    for _ in range(times):
        await speak()
    simulators.faults.rules = DOWN
    assert isinstance(await speak(), AudioReady if times == 2 else AudioFailed)


@pytest.mark.parametrize("sentence", [0, 1])
async def test_when_there_is_no_clip_either_the_sentence_is_given_up(
    speak: Speak, simulators: Simulators, sentence: int
) -> None:
    simulators.faults.rules = DOWN
    before = counted(SpeechFallback.SAY)
    failed = await speak(sentence=sentence)
    assert isinstance(failed, AudioFailed)
    assert (failed.sentence, failed.fallback) == (sentence, "say")
    assert counted(SpeechFallback.SAY) == before + 1


async def test_a_vendor_that_kept_failing_is_not_asked_until_it_has_cooled_down(
    speak: Speak, simulators: Simulators, providers: dict[str, Provider], clock: ManualClock
) -> None:
    first, second = (provider.breaker for provider in providers.values())
    simulators.faults.rules = FIRST_DOWN
    await speak()
    assert (first.state, second.state) == (BreakerState.OPEN, BreakerState.CLOSED)
    simulators.faults.rules = [FaultRule(target="elevenlabs", path="second", kind="status", status=500)]
    failed = await speak("Another sentence.")
    assert isinstance(failed, AudioFailed), "the first is well again, and is left alone"
    clock.now += 60
    ready = await speak("A third sentence.")
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, first.state) == (None, BreakerState.CLOSED)
