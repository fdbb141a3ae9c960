"""Greetings are stored as clips before the phone rings."""

import asyncio
from typing import NoReturn
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.fakes.voice import FakeSynthesizer
from tests.integration.voice.conftest import RequestAudio, StartCall, cause_of, clips_of

from chassis.event_log import EventLog
from contracts import AudioFailed, CallStatus, CallStatusChanged, DialPlaced, Event, ReplyGenerated
from contracts.buckets import CLIPS
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.turn_events import TurnEventReader
from voice.application.speech.prepared_clips import PreparedClips, greeting_sentence
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.application.telephony.dialing import Dialing
from voice.domain.clips import ClipName
from voice.domain.turns import TurnId
from voice.ports import DialOrder


class FakeTelephony:
    """Records which clips were stored when a dial request was sent."""

    provider = "fake"

    def __init__(self, clips: StoredClips) -> None:
        self._clips = clips
        self.name: ClipName | None = None
        self.was_ready: list[bool] = []

    async def dial(self, order: DialOrder) -> str:
        self.was_ready.append(self.name is not None and await self._clips.get(self.name) is not None)
        return "CA" + "1" * 32

    async def hang_up(self, provider_call_id: str) -> None:
        raise AssertionError(provider_call_id)


@pytest.fixture
def telephony(clips: StoredClips) -> FakeTelephony:
    return FakeTelephony(clips)


@pytest.fixture
def prepared(calls: EventLog, speech: ElevenLabs, clips: StoredClips) -> PreparedClips:
    return PreparedClips(SpeechSynthesis([speech], clips, calls))


@pytest.fixture
async def event(start_call: StartCall, telephony: FakeTelephony, speech: ElevenLabs) -> CallStatusChanged:
    """A call that is being dialled, and whose greeting `telephony` looks for."""
    template = "Hello {{name}}, this is the clinic.\n\nConfirm the appointment."
    event = await start_call(script_template=template, variables={"name": "Ada"})
    greeting = greeting_sentence(event.call, 1, cause_of(event))
    telephony.name = greeting.clip_name(speech.build_request(greeting.event).digest)
    return event


async def dial(calls: EventLog, telephony: FakeTelephony, prepared: PreparedClips, event: CallStatusChanged) -> None:
    await Dialing(calls, telephony, prepared).dial(event, cause_of(event))


async def test_the_greeting_is_stored_before_the_dial_request_is_sent(
    calls: EventLog, telephony: FakeTelephony, prepared: PreparedClips, event: CallStatusChanged
) -> None:
    await dial(calls, telephony, prepared, event)
    assert telephony.was_ready == [True]
    assert await calls.last(f"audio.*.{event.call_id}") is None, "an unanswered call has no event about its greeting"


async def test_a_greeting_that_fails_does_not_stop_the_dial_and_is_recorded(
    calls: EventLog,
    telephony: FakeTelephony,
    prepared: PreparedClips,
    event: CallStatusChanged,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    await dial(calls, telephony, prepared, event)
    assert telephony.was_ready == [False]
    assert await calls.last(DialPlaced.subject_for(event.call_id)) is not None
    [failed] = [stored.event for stored in await calls.read((f"audio.*.{event.call_id}",))]
    assert isinstance(failed, AudioFailed)
    assert (failed.attempt, failed.turn, failed.fallback) == (1, 0, "say")


async def test_a_greeting_that_is_late_does_not_stop_the_dial(
    calls: EventLog,
    telephony: FakeTelephony,
    speech: ElevenLabs,
    clips: StoredClips,
    event: CallStatusChanged,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="latency", seconds=30)]
    impatient = PreparedClips(SpeechSynthesis([speech], clips, calls), max_wait_seconds=0.2)
    await dial(calls, telephony, impatient, event)
    assert telephony.was_ready == [False]
    await impatient.aclose()


async def test_the_greeting_begins_with_who_calls(calls: EventLog, start_call: StartCall, clips: StoredClips) -> None:
    voice = FakeSynthesizer("a-voice", [b"\xff\xfb\x90\x00" + bytes(413)])
    event = await start_call(script_template="Hello.", company="Acme")
    await PreparedClips(SpeechSynthesis([voice], clips, calls)).prepare(
        greeting_sentence(event.call, 1, cause_of(event))
    )
    text = "This is an automated call with an artificial voice, on behalf of Acme. Hello."
    assert voice.spoken == [("a-voice", text)]


async def test_calls_with_the_same_greeting_share_one_synthesis_from_the_second_person_on(
    calls: EventLog, start_call: StartCall, clips: StoredClips
) -> None:
    """What only one person heard may be about that person."""
    voice = FakeSynthesizer("a-voice", [b"\xff\xfb\x90\x00" + bytes(413)])
    prepared = PreparedClips(SpeechSynthesis([voice], clips, calls))
    events = [await start_call(script_template="Hello.\n\nConfirm the appointment.") for _ in range(5)]
    await asyncio.gather(*(prepared.prepare(greeting_sentence(event.call, 1, cause_of(event))) for event in events[:4]))
    await prepared.prepare(greeting_sentence(events[4].call, 1, cause_of(events[4])))
    assert len(voice.first_by) == 2


async def test_a_call_is_spoken_in_the_voice_of_its_campaign(
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    clips: StoredClips,
    turn_events: TurnEventReader,
) -> None:
    voice = FakeSynthesizer("a-voice", [b"\xff\xfb\x90\x00" + bytes(413)])
    synthesis = SpeechSynthesis([voice], clips, calls)
    prepared = PreparedClips(synthesis)
    script = "Hello.\n\nConfirm the appointment."
    events = [await start_call(CallStatus.IN_PROGRESS, script_template=script, voice=name) for name in (None, "other")]
    await asyncio.gather(*(prepared.prepare(greeting_sentence(event.call, 1, cause_of(event))) for event in events))
    await request_audio(events[1], 1, 0, "One.")
    await calls.append(
        ReplyGenerated(
            call_id=events[1].call_id,
            attempt=1,
            turn=1,
            text="",
            sentences=2,
            last_sentence="Two.",
            model="m",
            latency_seconds=0,
        )
    )
    player = TurnPlayer(calls, turn_events, synthesis, max_silence_seconds=20)

    async def write(_: bytes) -> None: ...

    await player.play(await player.open(TurnId(events[1].call_id, 1, 1)), write)
    await player.aclose()
    spoken = {("a-voice", "Hello."), ("other", "Hello."), ("other", "One."), ("other", "Two.")}
    assert (len(voice.spoken), set(voice.spoken)) == (4, spoken)


async def test_whether_a_clip_exists_is_read_from_its_metadata_once(
    calls: EventLog, start_call: StartCall, clips: StoredClips, bus_client: Client
) -> None:
    voice = FakeSynthesizer("a-voice", [b"\xff\xfb\x90\x00" + bytes(413)])
    prepared = PreparedClips(SpeechSynthesis([voice], clips, calls))
    for _ in range(2):
        event = await start_call(script_template="Hello.\n\nConfirm the appointment.")
        await prepared.prepare(greeting_sentence(event.call, 1, cause_of(event)))
    requests: list[str] = []

    async def note(message: Msg) -> None:
        if "JS_SRC" not in message.subject:  # a consumer of the server itself, for a stream that sources another
            requests.append(message.subject)

    await bus_client.subscribe("$JS.API.>", cb=note)
    await bus_client.flush()
    async with clips_of(bus_client) as clips_of_other_replica:
        requests.clear()
        other_replica = PreparedClips(SpeechSynthesis([voice], clips_of_other_replica, calls))
        for _ in range(3):
            await other_replica.prepare(greeting_sentence(event.call, 1, cause_of(event)))
        await bus_client.flush()
    assert requests == [f"$JS.API.STREAM.MSG.GET.{CLIPS.stream.name}"]
    assert len(voice.first_by) == 2


async def test_a_clip_that_is_known_to_be_stored_is_not_stored_again(clips: StoredClips, bus_client: Client) -> None:
    js = bus_client.jetstream()
    before = (await js.stream_info(CLIPS.stream.name)).state.last_seq
    name = ClipName("digest", UUID(int=1), is_personal=False)
    await clips.put(name, b"audio")
    stored = (await js.stream_info(CLIPS.stream.name)).state.last_seq
    assert stored == before + 2, "its content and its metadata"
    await clips.put(name, b"audio")
    assert (await js.stream_info(CLIPS.stream.name)).state.last_seq == stored
    async with clips_of(bus_client) as other_replica:
        assert await other_replica.get(name) == b"audio"


class RefusingLog(EventLog):
    """Stores nothing, as a server that cannot be reached."""

    async def append(self, event: Event, **_: object) -> NoReturn:
        raise ConnectionError(event.event_name)


@pytest.fixture
def refusing(bus_client: Client) -> RefusingLog:
    return RefusingLog(bus_client, CALLS.name, source="voice")


async def test_a_failure_that_cannot_be_recorded_does_not_stop_the_dial(
    calls: EventLog,
    refusing: RefusingLog,
    telephony: FakeTelephony,
    speech: ElevenLabs,
    clips: StoredClips,
    event: CallStatusChanged,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    await dial(calls, telephony, PreparedClips(SpeechSynthesis([speech], clips, refusing)), event)
    assert await calls.last(DialPlaced.subject_for(event.call_id)) is not None
    assert await calls.last(f"audio.*.{event.call_id}") is None


@pytest.mark.parametrize("is_spoken", [True, False])
async def test_a_greeting_is_played_or_handed_over_although_neither_can_be_recorded(
    calls: EventLog,
    refusing: RefusingLog,
    turn_events: TurnEventReader,
    speech: ElevenLabs,
    clips: StoredClips,
    event: CallStatusChanged,
    simulators: Simulators,
    is_spoken: bool,
) -> None:
    if not is_spoken:
        simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    player = TurnPlayer(calls, turn_events, SpeechSynthesis([speech], clips, refusing), max_silence_seconds=3600)
    audio = bytearray()

    async def write(frames: bytes) -> None:
        audio.extend(frames)

    remainder = await player.play(await player.open(TurnId(event.call_id, 1, 0)), write)
    assert (bool(audio), remainder is None) == (is_spoken, is_spoken)
    assert remainder is None or remainder.sentence == 0
    assert await calls.last(f"audio.*.{event.call_id}") is None
