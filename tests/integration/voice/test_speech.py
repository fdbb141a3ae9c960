"""A sentence becomes sound: clips, retries, failures, limits."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from nats.js.api import ObjectStoreConfig
from prometheus_client import REGISTRY
from tests.fakes.providers import provider

from chassis.event_log import EventLog, StoredEvent
from contracts import AudioFailed, AudioReady, AudioRequested, CallStatusChanged, Event
from providers import RequestFailed
from simulators.faults import FaultRule
from simulators.server import Simulators, running
from voice.adapters import elevenlabs
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.application.speech.synthesis import Speaking
from voice.domain.mp3 import FrameCutter

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]
SENTENCE = "Your appointment is on Monday at ten."


@pytest.fixture
def speaking(speech: ElevenLabs, clips: ObjectStoreClips, calls: EventLog) -> Speaking:
    return Speaking([speech], clips, calls)


async def spoken(calls: EventLog, speaking: Speaking, event: CallStatusChanged) -> bytes:
    """What is heard of the sentence that was asked for last."""
    asked = await calls.last(f"{AudioRequested.event_name}.{event.call_id}")
    assert asked is not None
    assert isinstance(asked.event, AudioRequested)
    heard = bytearray()
    await speak_or_give_up(speaking, asked, asked.event, heard.extend)
    return bytes(heard)


async def speak_or_give_up(
    speaking: Speaking, asked: StoredEvent, request: AudioRequested, hear: Callable[[bytes], None]
) -> None:
    """As who plays a turn does it."""
    try:
        await speaking.speak(asked, request, hear)
    except RequestFailed as failed:
        await speaking.give_up(asked, request, str(failed))


async def outcomes(calls: EventLog, event: CallStatusChanged) -> list[Event]:
    facts = await calls.read((f"{AudioReady.event_name}.{event.call_id}", f"{AudioFailed.event_name}.{event.call_id}"))
    return [recorded.event for recorded in facts]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_sentence_is_heard_whole_and_its_length_is_known(
    calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    await ask(event, 1, 0, SENTENCE)
    audio = await spoken(calls, speaking, event)
    cutter = FrameCutter()
    assert cutter.feed(audio) == audio
    [ready] = await outcomes(calls, event)
    assert isinstance(ready, AudioReady)
    assert ready.duration_seconds == pytest.approx(cutter.seconds, abs=0.001)
    assert ready.duration_seconds == pytest.approx(len(SENTENCE) / 14, rel=0.3)
    assert (ready.provider, ready.is_cached, len(ready.digest)) == ("elevenlabs", False, 64)


async def test_a_sentence_that_repeats_is_synthesized_once(
    calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    hits, misses = counted("centralita_clip_hits_total"), counted("centralita_clip_misses_total")
    first, second = await begin(), await begin()
    await ask(first, 1, 0, SENTENCE, repeats=True)
    original = await spoken(calls, speaking, first)
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    await ask(second, 1, 0, SENTENCE, repeats=True)
    assert await spoken(calls, speaking, second) == original
    [made], [found] = await outcomes(calls, first), await outcomes(calls, second)
    assert isinstance(made, AudioReady)
    assert isinstance(found, AudioReady)
    assert (made.is_cached, found.is_cached, found.digest) == (False, True, made.digest)
    assert found.duration_seconds == made.duration_seconds
    assert counted("centralita_clip_hits_total") == hits + 1
    assert counted("centralita_clip_misses_total") == misses + 1


async def test_a_sentence_that_does_not_repeat_is_not_kept(
    calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask, clips: ObjectStoreClips
) -> None:
    event = await begin()
    await ask(event, 1, 0, SENTENCE)
    await spoken(calls, speaking, event)
    [ready] = await outcomes(calls, event)
    assert isinstance(ready, AudioReady)
    assert await clips.get(ready.digest) is None


@pytest.mark.parametrize(
    "rule",
    [
        FaultRule(target="elevenlabs", kind="status", status=500),
        FaultRule(target="elevenlabs", kind="status", status=429),
        FaultRule(target="elevenlabs", kind="reset"),
    ],
    ids=["500", "429", "reset"],
)
async def test_a_sentence_of_which_nothing_was_heard_is_tried_again_once(
    rule: FaultRule, calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    event = await begin()
    await ask(event, 1, 0, SENTENCE)
    simulators.faults.rules = [rule.model_copy(update={"remaining": 1})]
    assert await spoken(calls, speaking, event)
    simulators.faults.rules = [rule.model_copy(update={"remaining": 2})]
    await ask(event, 1, 1, SENTENCE)
    assert await spoken(calls, speaking, event) == b""
    assert [type(fact) for fact in await outcomes(calls, event)] == [AudioReady, AudioFailed]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"detail": {"status": "too_many_concurrent_requests", "message": "-"}}, "too_many_concurrent_requests"),
        (429, {"detail": {"status": "concurrent_limit_exceeded", "message": "-"}}, "concurrent_limit_exceeded"),
        (422, {"detail": [{"loc": ["body", "text"], "msg": SENTENCE, "type": "value_error"}]}, "HTTP 422"),
        (502, "Bad gateway", "HTTP 502"),
    ],
)
async def test_a_failure_is_said_with_its_reason_and_without_the_text(
    status: int,
    body: dict[str, object] | str,
    reason: str,
    calls: EventLog,
    speaking: Speaking,
    begin: Begin,
    ask: Ask,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [
        FaultRule.model_validate({"target": "elevenlabs", "kind": "status", "status": status, "body": body})
    ]
    event = await begin()
    await ask(event, 1, 0, SENTENCE)
    await spoken(calls, speaking, event)
    [failed] = await outcomes(calls, event)
    assert isinstance(failed, AudioFailed)
    assert reason in failed.reason
    assert SENTENCE not in failed.reason


async def test_a_sentence_that_breaks_off_is_not_begun_again_and_not_kept(
    calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask, simulators: Simulators, speech: ElevenLabs
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="cut_body", remaining=1)]
    event = await begin()
    await ask(event, 1, 0, SENTENCE, repeats=True)
    audio = await spoken(calls, speaking, event)
    assert FrameCutter().feed(audio) == audio != b""
    assert [type(fact) for fact in await outcomes(calls, event)] == [AudioFailed]
    asked = await calls.last(f"{AudioRequested.event_name}.{event.call_id}")
    assert asked is not None
    assert isinstance(asked.event, AudioRequested)
    assert not await speaking.has_clip(asked.event)


async def test_a_vendor_that_goes_silent_is_not_waited_for(
    calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    speaking = Speaking([speech], clips, calls, deadline=0.1)
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="latency", seconds=1)]
    event = await begin()
    await ask(event, 1, 0, SENTENCE)
    assert await spoken(calls, speaking, event) == b""
    assert [type(fact) for fact in await outcomes(calls, event)] == [AudioFailed]


async def test_a_full_store_costs_nothing_but_the_next_synthesis(
    calls: EventLog, speech: ElevenLabs, bus_client: Client, begin: Begin, ask: Ask
) -> None:
    tiny = await bus_client.jetstream().create_object_store("tiny", ObjectStoreConfig(max_bytes=2_000))
    full = counted("centralita_clips_not_stored_total", reason="full")
    speaking = Speaking([speech], ObjectStoreClips(tiny), calls)
    event = await begin()
    await ask(event, 1, 0, SENTENCE, repeats=True)
    assert await spoken(calls, speaking, event)
    assert counted("centralita_clips_not_stored_total", reason="full") == full + 1
    assert [type(fact) for fact in await outcomes(calls, event)] == [AudioReady]


async def speak_together(
    calls: EventLog,
    clips: ObjectStoreClips,
    vendors: Simulators,
    event: CallStatusChanged,
    ask: Ask,
    sentences: int,
    deadline: float = 6,
) -> None:
    """Asks for sentences and speaks them all at once, over an account that allows one synthesis at a time."""
    for sentence in range(sentences):
        await ask(event, 1, sentence, SENTENCE)
    asked = await calls.read((f"{AudioRequested.event_name}.{event.call_id}",))
    one_at_a_time = provider("one_at_a_time", capacity=1)
    async with elevenlabs.connect(api_key="k", base_url=vendors.elevenlabs_url) as account:
        speech = ElevenLabs(account, one_at_a_time, voice="v", model="eleven_flash_v2_5")
        speaking = Speaking([speech], clips, calls, deadline=deadline)
        async with asyncio.TaskGroup() as tasks:
            for recorded in asked:
                assert isinstance(recorded.event, AudioRequested)
                tasks.create_task(speak_or_give_up(speaking, recorded, recorded.event, lambda _: None))


async def test_no_more_syntheses_run_at_once_than_the_plan_allows(
    calls: EventLog, clips: ObjectStoreClips, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    async with running(speed=50, elevenlabs_concurrency=1) as vendors:
        await speak_together(calls, clips, vendors, event, ask, 4)
    assert [type(fact) for fact in await outcomes(calls, event)] == [AudioReady] * 4


async def test_a_sentence_that_cannot_get_its_place_in_time_fails(
    calls: EventLog,
    clips: ObjectStoreClips,
    simulators: Simulators,
    begin: Begin,
    ask: Ask,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="latency", seconds=0.4)]
    event = await begin()
    await speak_together(calls, clips, simulators, event, ask, 2, deadline=0.7)
    assert {type(fact) for fact in await outcomes(calls, event)} == {AudioReady, AudioFailed}


async def test_what_became_of_a_sentence_is_said_once(
    calls: EventLog, speaking: Speaking, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    await ask(event, 1, 0, SENTENCE)
    await spoken(calls, speaking, event)
    await spoken(calls, speaking, event)
    assert len(await outcomes(calls, event)) == 1
