"""Speech synthesis of single sentences: clips, retries, failures, limits."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.js.api import ObjectStoreConfig
from tests.fakes.providers import provider
from tests.integration.voice.conftest import RequestAudio, StartCall, metric, outcomes, speak

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, CallStatusChanged
from contracts.buckets import CALL_CLIPS
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators, running
from voice.adapters import elevenlabs
from voice.adapters.call_clips import CallClips
from voice.adapters.clips import ObjectStoreClips, StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.application.speech.synthesis import SpeechSynthesis
from voice.domain.mp3 import FrameCutter

TEXT = "Your appointment is on Monday at ten."


@pytest.fixture
def synthesis(speech: ElevenLabs, clips: StoredClips, calls: EventLog) -> SpeechSynthesis:
    return SpeechSynthesis([speech], clips, calls)


async def test_a_sentence_is_synthesized_completely_and_its_length_recorded(
    calls: EventLog, synthesis: SpeechSynthesis, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call()
    audio = await speak(synthesis, await request_audio(event, 1, 0, TEXT))
    cutter = FrameCutter()
    assert cutter.feed(audio) == audio
    [ready] = await outcomes(calls, event)
    assert isinstance(ready, AudioReady)
    assert ready.duration_seconds == pytest.approx(cutter.seconds, abs=0.001)
    assert ready.duration_seconds == pytest.approx(len(TEXT) / 14, rel=0.3)
    assert (ready.provider, ready.is_cached) == ("elevenlabs", False)


async def test_a_reusable_sentence_is_synthesized_once(
    calls: EventLog,
    synthesis: SpeechSynthesis,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    hits, misses = metric("centralita_clip_hits_total"), metric("centralita_clip_misses_total")
    first, second = await start_call(), await start_call()
    original = await speak(synthesis, await request_audio(first, 1, 0, TEXT, is_reusable=True))
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    assert await speak(synthesis, await request_audio(second, 1, 0, TEXT, is_reusable=True)) == original
    [synthesized], [reused] = await outcomes(calls, first), await outcomes(calls, second)
    assert isinstance(synthesized, AudioReady)
    assert isinstance(reused, AudioReady)
    assert (synthesized.is_cached, reused.is_cached) == (False, True)
    assert reused.duration_seconds == synthesized.duration_seconds
    assert metric("centralita_clip_hits_total") == hits + 1
    assert metric("centralita_clip_misses_total") == misses + 1


async def test_a_sentence_that_is_not_reusable_is_not_stored(
    synthesis: SpeechSynthesis,
    start_call: StartCall,
    request_audio: RequestAudio,
    speech: ElevenLabs,
    clips: StoredClips,
) -> None:
    sentence = await request_audio(await start_call(), 1, 0, TEXT)
    await speak(synthesis, sentence)
    assert await clips.get(sentence.clip_name(speech.build_request(sentence.event).digest)) is None


async def test_no_event_has_a_plain_digest_of_what_is_spoken(
    calls: EventLog,
    synthesis: SpeechSynthesis,
    start_call: StartCall,
    request_audio: RequestAudio,
    speech: ElevenLabs,
    bus_client: Client,
) -> None:
    event = await start_call()
    sentence = await request_audio(event, 1, 0, TEXT)
    await speak(synthesis, sentence)
    [ready] = await outcomes(calls, event)
    assert isinstance(ready, AudioReady)
    assert ready.digest is None
    stored = await bus_client.jetstream().get_last_msg(CALLS.name, ready.subject)
    assert speech.build_request(sentence.event).digest.encode() not in (stored.data or b"")


@pytest.mark.parametrize(
    "rule",
    [
        FaultRule(target="elevenlabs", kind="status", status=500),
        FaultRule(target="elevenlabs", kind="status", status=429),
        FaultRule(target="elevenlabs", kind="reset"),
    ],
    ids=["500", "429", "reset"],
)
async def test_a_transient_failure_before_the_first_audio_is_retried_once(
    rule: FaultRule,
    calls: EventLog,
    synthesis: SpeechSynthesis,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    event = await start_call()
    simulators.faults.rules = [rule.model_copy(update={"remaining": 1})]
    assert await speak(synthesis, await request_audio(event, 1, 0, TEXT))
    simulators.faults.rules = [rule.model_copy(update={"remaining": 2})]
    assert await speak(synthesis, await request_audio(event, 1, 1, TEXT)) == b""
    assert [type(outcome) for outcome in await outcomes(calls, event)] == [AudioReady, AudioFailed]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"detail": {"status": "too_many_concurrent_requests", "message": "-"}}, "too_many_concurrent_requests"),
        (429, {"detail": {"status": "concurrent_limit_exceeded", "message": "-"}}, "concurrent_limit_exceeded"),
        (422, {"detail": [{"loc": ["body", "text"], "msg": TEXT, "type": "value_error"}]}, "HTTP 422"),
        (502, "Bad gateway", "HTTP 502"),
    ],
)
async def test_a_failure_is_recorded_with_its_reason_and_without_the_text(
    status: int,
    body: dict[str, object] | str,
    reason: str,
    calls: EventLog,
    synthesis: SpeechSynthesis,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [
        FaultRule.model_validate({"target": "elevenlabs", "kind": "status", "status": status, "body": body})
    ]
    event = await start_call()
    await speak(synthesis, await request_audio(event, 1, 0, TEXT))
    [failed] = await outcomes(calls, event)
    assert isinstance(failed, AudioFailed)
    assert reason in failed.reason
    assert TEXT not in failed.reason


async def test_a_synthesis_that_is_cut_off_is_not_retried_and_not_stored(
    calls: EventLog,
    synthesis: SpeechSynthesis,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
    speech: ElevenLabs,
    clips: StoredClips,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="cut_body", remaining=1)]
    event = await start_call()
    sentence = await request_audio(event, 1, 0, TEXT, is_reusable=True)
    audio = await speak(synthesis, sentence)
    assert FrameCutter().feed(audio) == audio != b""
    assert [type(outcome) for outcome in await outcomes(calls, event)] == [AudioFailed]
    assert not await clips.has(sentence.clip_name(speech.build_request(sentence.event).digest))


async def test_a_vendor_that_misses_the_deadline_has_failed(
    calls: EventLog,
    speech: ElevenLabs,
    clips: StoredClips,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    synthesis = SpeechSynthesis([speech], clips, calls, deadline_seconds=0.1)
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="latency", seconds=1)]
    event = await start_call()
    assert await speak(synthesis, await request_audio(event, 1, 0, TEXT)) == b""
    assert [type(outcome) for outcome in await outcomes(calls, event)] == [AudioFailed]


async def test_a_full_store_does_not_fail_the_sentence(
    calls: EventLog, speech: ElevenLabs, bus_client: Client, start_call: StartCall, request_audio: RequestAudio
) -> None:
    tiny = await bus_client.jetstream().create_object_store("tiny", ObjectStoreConfig(max_bytes=2_000))
    full = metric("centralita_clips_not_stored_total", reason="full")
    of_calls = CallClips(bus_client, await bus_client.jetstream().key_value(CALL_CLIPS.name))
    synthesis = SpeechSynthesis([speech], StoredClips(ObjectStoreClips(bus_client, tiny), of_calls), calls)
    event = await start_call()
    assert await speak(synthesis, await request_audio(event, 1, 0, TEXT, is_reusable=True))
    assert metric("centralita_clips_not_stored_total", reason="full") == full + 1
    assert [type(outcome) for outcome in await outcomes(calls, event)] == [AudioReady]


async def speak_together(
    calls: EventLog,
    clips: StoredClips,
    vendors: Simulators,
    event: CallStatusChanged,
    request_audio: RequestAudio,
    count: int,
) -> None:
    """Speaks sentences at the same time, with an account that allows one synthesis at a time."""
    sentences = [await request_audio(event, 1, number, TEXT) for number in range(count)]
    limited = provider("capacity_of_one", capacity=1)
    async with elevenlabs.connect(api_key="k", base_url=vendors.elevenlabs_url) as account:
        speech = ElevenLabs(account, limited, voice="v", model="eleven_flash_v2_5")
        synthesis = SpeechSynthesis([speech], clips, calls)
        await asyncio.gather(*(speak(synthesis, sentence) for sentence in sentences))


async def test_no_more_syntheses_run_at_once_than_the_plan_allows(
    calls: EventLog, clips: StoredClips, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call()
    async with running(speed=50, elevenlabs_concurrency=1) as vendors:
        await speak_together(calls, clips, vendors, event, request_audio, 4)
    assert [type(outcome) for outcome in await outcomes(calls, event)] == [AudioReady] * 4


async def test_a_sentence_without_capacity_before_its_deadline_fails(
    calls: EventLog,
    clips: StoredClips,
    simulators: Simulators,
    start_call: StartCall,
    request_audio: RequestAudio,
) -> None:
    event = await start_call()
    limited = provider("capacity_of_one", capacity=1)
    async with elevenlabs.connect(api_key="k", base_url=simulators.elevenlabs_url) as account:
        speech = ElevenLabs(account, limited, voice="v", model="eleven_flash_v2_5")
        synthesis = SpeechSynthesis([speech], clips, calls, deadline_seconds=0.1)
        async with limited.request(max_wait_seconds=60):
            assert await speak(synthesis, await request_audio(event, 1, 0, TEXT)) == b""
    assert [type(outcome) for outcome in await outcomes(calls, event)] == [AudioFailed]


async def test_a_sentence_that_is_spoken_twice_has_one_recorded_outcome(
    calls: EventLog, synthesis: SpeechSynthesis, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call()
    sentence = await request_audio(event, 1, 0, TEXT)
    await speak(synthesis, sentence)
    await speak(synthesis, sentence)
    assert len(await outcomes(calls, event)) == 1
