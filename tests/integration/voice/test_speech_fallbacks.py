"""The fallback chain of speech, and the recorded outcome of each fallback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.providers import provider
from tests.integration.voice.conftest import RequestAudio, StartCall, fallback_count, outcomes, speak

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, SpeechFallback
from providers import BreakerState, Provider
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters import elevenlabs
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.application.speech.synthesis import SpeechSynthesis
from voice.ports import Synthesizer

SpeakSentence = Callable[..., Awaitable[AudioReady | AudioFailed]]
TEXT = "Your appointment is on Monday at ten."
DOWN = [FaultRule(target="elevenlabs", kind="status", status=500)]
FIRST_DOWN = [FaultRule(target="elevenlabs", path="first", kind="status", status=500)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def providers(clock: ManualClock) -> dict[str, Provider]:
    """Providers whose circuit breakers open after two failures."""
    capacity = asyncio.Semaphore(4)
    names = ("test_elevenlabs", "test_elevenlabs_fallback")
    return {name: provider(name, capacity=capacity, max_failures=2, clock=clock) for name in names}


@pytest.fixture
async def voices(simulators: Simulators, providers: dict[str, Provider]) -> AsyncIterator[list[Synthesizer]]:
    first, second = providers.values()
    async with elevenlabs.connect(api_key="k", base_url=simulators.elevenlabs_url) as account:
        yield [
            ElevenLabs(account, first, voice="first", model="eleven_flash_v2_5"),
            ElevenLabs(account, second, voice="second", model="eleven_multilingual_v2", is_only_voice=True),
        ]


@pytest.fixture
def synthesis(voices: list[Synthesizer], clips: StoredClips, calls: EventLog) -> SpeechSynthesis:
    return SpeechSynthesis(voices, clips, calls)


@pytest.fixture
def speak_sentence(
    calls: EventLog, synthesis: SpeechSynthesis, start_call: StartCall, request_audio: RequestAudio
) -> SpeakSentence:
    """Speaks a sentence in a call of its own, and returns its recorded outcome."""

    async def speak_sentence(
        text: str = TEXT, *, is_reusable: bool = False, number: int = 0
    ) -> AudioReady | AudioFailed:
        event = await start_call()
        audio = await speak(synthesis, await request_audio(event, 1, number, text, is_reusable=is_reusable))
        [outcome] = await outcomes(calls, event)
        assert isinstance(outcome, AudioReady) is bool(audio)
        return outcome

    return speak_sentence


async def test_the_requested_voice_is_not_a_fallback(speak_sentence: SpeakSentence) -> None:
    ready = await speak_sentence()
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, ready.is_cached, ready.provider) == (None, False, "elevenlabs")


async def test_the_second_voice_replaces_one_that_fails(speak_sentence: SpeakSentence, simulators: Simulators) -> None:
    simulators.faults.rules = FIRST_DOWN
    before = fallback_count(SpeechFallback.SECOND_VOICE)
    ready = await speak_sentence()
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, ready.is_cached) == (SpeechFallback.SECOND_VOICE, False)
    assert fallback_count(SpeechFallback.SECOND_VOICE) == before + 1


async def test_a_voice_that_does_not_begin_leaves_the_second_its_share_of_the_deadline(
    speak_sentence: SpeakSentence,
    simulators: Simulators,
    synthesis: SpeechSynthesis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthesis, "_deadline_seconds", 10)
    simulators.faults.rules = [FaultRule(target="elevenlabs", path="first", kind="latency", seconds=60)]
    ready = await speak_sentence()
    assert isinstance(ready, AudioReady)
    assert ready.fallback is SpeechFallback.SECOND_VOICE


async def test_a_clip_of_the_second_voice_replaces_its_synthesis(
    speak_sentence: SpeakSentence, simulators: Simulators
) -> None:
    simulators.faults.rules = FIRST_DOWN
    synthesized = await speak_sentence(is_reusable=True)
    simulators.faults.rules = DOWN
    reused = await speak_sentence(is_reusable=True)
    assert isinstance(synthesized, AudioReady)
    assert isinstance(reused, AudioReady)
    assert (reused.fallback, reused.is_cached) == (SpeechFallback.SECOND_VOICE, True)


async def test_a_clip_of_the_same_text_in_one_of_the_voices_replaces_voices_that_fail(
    speak_sentence: SpeakSentence, simulators: Simulators
) -> None:
    simulators.faults.rules = FIRST_DOWN
    synthesized = await speak_sentence(is_reusable=True)
    simulators.faults.rules = DOWN
    before = fallback_count(SpeechFallback.CLIP)
    reused = await speak_sentence()
    assert isinstance(synthesized, AudioReady)
    assert isinstance(reused, AudioReady)
    assert (reused.fallback, reused.is_cached) == (SpeechFallback.CLIP, True)
    assert fallback_count(SpeechFallback.CLIP) == before + 1


@pytest.mark.parametrize("times", [1, 2])
async def test_a_text_that_is_spoken_twice_is_stored_as_a_clip(
    speak_sentence: SpeakSentence, simulators: Simulators, times: int
) -> None:
    for _ in range(times):
        await speak_sentence()
    simulators.faults.rules = DOWN
    assert isinstance(await speak_sentence(), AudioReady if times == 2 else AudioFailed)


@pytest.mark.parametrize("number", [0, 1])
async def test_without_a_clip_the_sentence_falls_back_to_the_providers_voice(
    speak_sentence: SpeakSentence, simulators: Simulators, number: int
) -> None:
    simulators.faults.rules = DOWN
    before = fallback_count(SpeechFallback.SAY)
    failed = await speak_sentence(number=number)
    assert isinstance(failed, AudioFailed)
    assert (failed.sentence, failed.fallback) == (number, "say")
    assert fallback_count(SpeechFallback.SAY) == before + 1


async def test_a_vendor_behind_an_open_breaker_is_used_again_after_the_cool_down(
    speak_sentence: SpeakSentence, simulators: Simulators, providers: dict[str, Provider], clock: ManualClock
) -> None:
    first, second = (provider.breaker for provider in providers.values())
    simulators.faults.rules = FIRST_DOWN
    await speak_sentence()
    assert (first.state, second.state) == (BreakerState.OPEN, BreakerState.CLOSED)
    simulators.faults.rules = [FaultRule(target="elevenlabs", path="second", kind="status", status=500)]
    failed = await speak_sentence("Another sentence.")
    assert isinstance(failed, AudioFailed), "the first works again, but its breaker is open"
    clock.now += 60
    ready = await speak_sentence("A third sentence.")
    assert isinstance(ready, AudioReady)
    assert (ready.fallback, first.state) == (None, BreakerState.CLOSED)
