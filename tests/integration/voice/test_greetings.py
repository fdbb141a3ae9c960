"""Greetings are stored as clips before the phone rings."""

import pytest
from tests.integration.voice.conftest import RequestAudio, StartCall, cause_of

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, AudioRequested, CallStatusChanged, DialPlaced
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.application.speech.greetings import Greetings, load_greeting
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.dialing import Dialing
from voice.ports import DialOrder


class FakeTelephony:
    """Records whether the call's greeting was stored when the dial request was sent."""

    provider = "fake"

    def __init__(self, calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> None:
        self._calls = calls
        self._speech = speech
        self._clips = clips
        self.was_ready: list[bool] = []

    async def dial(self, order: DialOrder) -> str:
        greeting = await load_greeting(self._calls, order.call_id)
        digest = self._speech.build_request(greeting.event).digest if greeting else ""
        self.was_ready.append(await self._clips.get(digest) is not None)
        return "CA" + "1" * 32

    async def hang_up(self, provider_call_id: str) -> None:
        raise AssertionError(provider_call_id)


@pytest.fixture
def telephony(calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> FakeTelephony:
    return FakeTelephony(calls, speech, clips)


@pytest.fixture
def greetings(calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> Greetings:
    return Greetings(calls, SpeechSynthesis([speech], clips, calls))


async def dial(calls: EventLog, telephony: FakeTelephony, greetings: Greetings, event: CallStatusChanged) -> None:
    await Dialing(calls, telephony, greetings).dial(event, cause_of(event))


async def test_the_greeting_is_stored_before_the_dial_request_is_sent(
    calls: EventLog, telephony: FakeTelephony, greetings: Greetings, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call()
    await request_audio(event, 0, 0, "Hello, this is the clinic.", is_reusable=True)
    await dial(calls, telephony, greetings, event)
    assert telephony.was_ready == [True]


async def test_a_changed_call_has_its_newest_greeting(
    calls: EventLog,
    telephony: FakeTelephony,
    greetings: Greetings,
    start_call: StartCall,
    request_audio: RequestAudio,
    clips: ObjectStoreClips,
) -> None:
    event = await start_call()
    await request_audio(event, 0, 0, "Hello, this is the old clinic.", is_reusable=True)
    await request_audio(event, 0, 0, "Hello, this is the new clinic.", is_reusable=True)
    greeting = await load_greeting(calls, event.call_id)
    assert greeting is not None
    assert greeting.event.text == "Hello, this is the new clinic."
    await dial(calls, telephony, greetings, event)
    assert telephony.was_ready == [True]


async def test_a_greeting_that_fails_does_not_stop_the_dial(
    calls: EventLog,
    telephony: FakeTelephony,
    greetings: Greetings,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    event = await start_call()
    await request_audio(event, 0, 0, "Hello, this is the clinic.", is_reusable=True)
    await dial(calls, telephony, greetings, event)
    assert telephony.was_ready == [False]
    assert await calls.last(DialPlaced.subject_for(event.call_id)) is not None
    assert await calls.last(AudioFailed.subject_for(event.call_id)) is not None


async def test_a_greeting_that_is_late_does_not_stop_the_dial(
    calls: EventLog,
    telephony: FakeTelephony,
    speech: ElevenLabs,
    clips: ObjectStoreClips,
    start_call: StartCall,
    request_audio: RequestAudio,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="latency", seconds=30)]
    impatient = Greetings(calls, SpeechSynthesis([speech], clips, calls), max_wait_seconds=0.2)
    event = await start_call()
    await request_audio(event, 0, 0, "Hello, this is the clinic.", is_reusable=True)
    await dial(calls, telephony, impatient, event)
    assert telephony.was_ready == [False]
    await impatient.aclose()


async def test_a_greeting_is_synthesized_once_however_often_it_is_prepared(
    calls: EventLog, greetings: Greetings, start_call: StartCall, request_audio: RequestAudio, simulators: Simulators
) -> None:
    event = await start_call()
    await request_audio(event, 0, 0, "Hello, this is the clinic.", is_reusable=True)
    greeting = await load_greeting(calls, event.call_id)
    assert greeting is not None
    await greetings.prepare(greeting)
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    await greetings.prepare(greeting)
    events = [stored.event for stored in await calls.read((f"audio.*.{event.call_id}",))]
    assert [type(event) for event in events] == [AudioRequested, AudioReady]


async def test_sentences_of_later_turns_are_not_prepared(
    calls: EventLog, greetings: Greetings, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call()
    await greetings.prepare(await request_audio(event, 1, 0, "One moment, please.", is_reusable=True))
    assert await calls.last(AudioReady.subject_for(event.call_id)) is None
