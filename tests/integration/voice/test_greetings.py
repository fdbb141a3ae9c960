"""The greeting is ready before the phone rings."""

from collections.abc import Awaitable, Callable

import pytest

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, AudioRequested, CallStatusChanged, DialPlaced, Envelope
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.application.speech.greetings import Greetings, newest_greeting
from voice.application.speech.synthesis import Speaking
from voice.application.telephony.dialing import Dialing
from voice.ports import DialOrder

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]


class FakeTelephony:
    """Records whether the call's greeting was among the clips when the dial request was sent."""

    provider = "fake"

    def __init__(self, calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> None:
        self._calls = calls
        self._speech = speech
        self._clips = clips
        self.ready: list[bool] = []

    async def place(self, order: DialOrder) -> str:
        greeting = await newest_greeting(self._calls, order.call_id)
        digest = self._speech.recipe(greeting[1]).digest if greeting else ""
        self.ready.append(await self._clips.get(digest) is not None)
        return "CA" + "1" * 32

    async def hang_up(self, provider_call_id: str) -> None:
        raise AssertionError(provider_call_id)


@pytest.fixture
def telephony(calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> FakeTelephony:
    return FakeTelephony(calls, speech, clips)


@pytest.fixture
def greetings(calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> Greetings:
    return Greetings(calls, Speaking([speech], clips, calls))


async def dial(calls: EventLog, telephony: FakeTelephony, greetings: Greetings, event: CallStatusChanged) -> None:
    cause = Envelope.of(event, id="cause", source="test", time=event.occurred_at)
    await Dialing(calls, telephony, greetings).dial(event, cause)


async def test_the_greeting_is_stored_before_the_request_to_dial_leaves(
    calls: EventLog, telephony: FakeTelephony, greetings: Greetings, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    await dial(calls, telephony, greetings, event)
    assert telephony.ready == [True]


async def test_the_greeting_of_a_changed_call_is_the_newest(
    calls: EventLog, telephony: FakeTelephony, greetings: Greetings, begin: Begin, ask: Ask, clips: ObjectStoreClips
) -> None:
    event = await begin()
    await ask(event, 0, 0, "Hello, this is the old clinic.", repeats=True)
    await ask(event, 0, 0, "Hello, this is the new clinic.", repeats=True)
    greeting = await newest_greeting(calls, event.call_id)
    assert greeting is not None
    assert greeting[1].text == "Hello, this is the new clinic."
    await dial(calls, telephony, greetings, event)
    assert telephony.ready == [True]


async def test_a_greeting_that_cannot_be_made_does_not_stop_the_dial(
    calls: EventLog, telephony: FakeTelephony, greetings: Greetings, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    event = await begin()
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    await dial(calls, telephony, greetings, event)
    assert telephony.ready == [False]
    assert await calls.last(f"{DialPlaced.event_name}.{event.call_id}") is not None
    assert await calls.last(f"{AudioFailed.event_name}.{event.call_id}") is not None


async def test_a_greeting_that_takes_too_long_does_not_stop_the_dial(
    calls: EventLog,
    telephony: FakeTelephony,
    speech: ElevenLabs,
    clips: ObjectStoreClips,
    begin: Begin,
    ask: Ask,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="latency", seconds=30)]
    hasty = Greetings(calls, Speaking([speech], clips, calls), patience=0.2)
    event = await begin()
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    await dial(calls, telephony, hasty, event)
    assert telephony.ready == [False]
    await hasty.aclose()


async def test_a_greeting_is_made_once_however_often_it_is_asked_for(
    calls: EventLog, greetings: Greetings, begin: Begin, ask: Ask, simulators: Simulators
) -> None:
    event = await begin()
    await ask(event, 0, 0, "Hello, this is the clinic.", repeats=True)
    greeting = await newest_greeting(calls, event.call_id)
    assert greeting is not None
    await greetings.prepare(*greeting)
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    await greetings.prepare(*greeting)
    facts = [recorded.event for recorded in await calls.read((f"audio.*.{event.call_id}",))]
    assert [type(fact) for fact in facts] == [AudioRequested, AudioReady]


async def test_sentences_of_the_conversation_are_not_made_before_they_are_played(
    calls: EventLog, greetings: Greetings, begin: Begin, ask: Ask
) -> None:
    event = await begin()
    await ask(event, 1, 0, "One moment, please.", repeats=True)
    asked = await calls.last(f"{AudioRequested.event_name}.{event.call_id}")
    assert asked is not None
    assert isinstance(asked.event, AudioRequested)
    await greetings.prepare(asked, asked.event)
    assert await calls.last(f"{AudioReady.event_name}.{event.call_id}") is None
