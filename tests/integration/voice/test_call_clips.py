"""Speech with the variables of a call is stored for this call only, from its answer until its end."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.calls import a_call
from tests.builders.events import status_changed
from tests.fakes.voice import FakeSynthesizer
from tests.integration.voice.conftest import RequestAudio, StartCall, cause_of, clips_of

from chassis.event_log import EventLog
from contracts import AudioReady, CallStatus, CallStatusChanged, VoicemailPolicy
from contracts.buckets import CALL_CLIPS, CLIPS
from contracts.vocabulary import FINAL_STATUSES
from voice.adapters.clips import StoredClips
from voice.adapters.turn_events import TurnEventReader
from voice.application.speech.prepared_clips import PreparedClips, greeting_sentence, message_sentence
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.domain.turns import TurnId

FRAME = b"\xff\xfb\x90\x00" + bytes(413)
WITH_NAME, WITHOUT = "Hello {{name}}.\n\nConfirm.", "Hello, this is the clinic.\n\nConfirm."


@pytest.fixture
def voice() -> FakeSynthesizer:
    return FakeSynthesizer("a-voice", [FRAME])


@pytest.fixture
def prepared(calls: EventLog, clips: StoredClips, voice: FakeSynthesizer) -> PreparedClips:
    return PreparedClips(SpeechSynthesis([voice], clips, calls))


@pytest.fixture
async def other_replica(bus_client: Client) -> AsyncIterator[StoredClips]:
    async with clips_of(bus_client) as clips:
        yield clips


async def stored(client: Client) -> tuple[int, int]:
    """Returns the number of clips for one call, and of messages of clips for all calls."""
    js = client.jetstream()
    infos = [await js.stream_info(bucket.stream.name) for bucket in (CALL_CLIPS, CLIPS)]
    return infos[0].state.messages, infos[1].state.messages


async def answer(calls: EventLog, event: CallStatusChanged) -> None:
    in_progress = event.call.model_copy(update={"status": CallStatus.IN_PROGRESS})
    await calls.append(status_changed(in_progress, previous=event.status))


async def end(calls: EventLog, event: CallStatusChanged, status: CallStatus = CallStatus.COMPLETED) -> None:
    await calls.append(status_changed(event.call.model_copy(update={"status": status}), previous=event.status))


async def until_stored(client: Client, expected: tuple[int, int]) -> None:
    async with asyncio.timeout(60):
        while await stored(client) != expected:
            await asyncio.sleep(0.02)


def greeting(event: CallStatusChanged) -> Sentence:
    return greeting_sentence(event.call, 1, cause_of(event))


@pytest.mark.parametrize("status", sorted(FINAL_STATUSES))
async def test_a_greeting_with_variables_is_removed_when_its_call_ends(
    calls: EventLog, bus_client: Client, start_call: StartCall, prepared: PreparedClips, status: CallStatus
) -> None:
    ended = await start_call(script_template=WITH_NAME, variables={"name": "Ada"})
    going_on = await start_call(script_template=WITH_NAME, variables={"name": "Ada"})
    for event in (ended, going_on):
        await prepared.prepare(greeting(event))
    assert await stored(bus_client) == (0, 0), "an unanswered call stores nothing"
    for event in (ended, going_on):
        await answer(calls, event)
    await until_stored(bus_client, (2, 0))
    await end(calls, ended, status)
    await until_stored(bus_client, (1, 0))


async def test_a_greeting_without_variables_stays_for_all_calls_once_two_persons_were_called(
    calls: EventLog, bus_client: Client, start_call: StartCall, prepared: PreparedClips, voice: FakeSynthesizer
) -> None:
    with_name = await start_call(script_template=WITH_NAME, variables={"name": "Ada"})
    events = [await start_call(script_template=WITHOUT, variables={"name": "clinic"}) for _ in range(2)]
    for event in (with_name, *events):
        await prepared.prepare(greeting(event))
    assert len(voice.first_by) == 3
    assert await stored(bus_client) == (0, 2)
    await answer(calls, with_name)
    await until_stored(bus_client, (1, 2))
    for event in (*events, with_name):  # their ends are published in this order
        await end(calls, event)
    await until_stored(bus_client, (0, 2))


async def test_another_replica_plays_a_greeting_with_variables_and_forgets_it_too(
    calls: EventLog,
    bus_client: Client,
    start_call: StartCall,
    prepared: PreparedClips,
    other_replica: StoredClips,
    voice: FakeSynthesizer,
) -> None:
    event = await start_call(script_template=WITH_NAME, variables={"name": "Ada"})
    await prepared.prepare(greeting(event))
    await answer(calls, event)
    await until_stored(bus_client, (1, 0))
    name = greeting(event).clip_name(voice.build_request(greeting(event).event).digest)
    assert await other_replica.get(name) == FRAME
    assert await other_replica.has(name), "it is kept in memory"
    await end(calls, event)
    await until_stored(bus_client, (0, 0))
    async with asyncio.timeout(60):
        while await other_replica.has(name):
            await asyncio.sleep(0.02)
    assert await other_replica.get(name) is None


async def test_the_greeting_of_an_unanswered_call_is_neither_read_nor_stored_and_is_forgotten_with_the_call(
    calls: EventLog,
    bus_client: Client,
    start_call: StartCall,
    prepared: PreparedClips,
    clips: StoredClips,
    voice: FakeSynthesizer,
) -> None:
    requests: list[str] = []

    async def note(message: Msg) -> None:
        requests.append(message.subject)

    await bus_client.subscribe(f"$JS.API.*.*.{CALL_CLIPS.stream.name}", cb=note)
    await bus_client.subscribe(f"$JS.API.*.*.*.{CALL_CLIPS.stream.name}", cb=note)
    event = await start_call(script_template=WITH_NAME, variables={"name": "Ada"})
    await prepared.prepare(greeting(event))
    await prepared.prepare(greeting(event))  # that of a further attempt
    name = greeting(event).clip_name(voice.build_request(greeting(event).event).digest)
    assert (len(voice.first_by), await clips.has(name)) == (1, True)
    await end(calls, event, CallStatus.NO_ANSWER)
    async with asyncio.timeout(60):
        while await clips.has(name):
            await asyncio.sleep(0.02)
    await bus_client.flush()
    assert requests == []
    assert (await bus_client.jetstream().stream_info(CALL_CLIPS.stream.name)).state.last_seq == 0


async def test_equal_greetings_of_two_calls_are_two_clips(
    start_call: StartCall, prepared: PreparedClips, voice: FakeSynthesizer
) -> None:
    """So the end of one call does not remove the clip of the other."""
    events = [await start_call(script_template=WITH_NAME, variables={"name": "Ada"}) for _ in range(2)]
    await asyncio.gather(*(prepared.prepare(greeting(event)) for event in events))
    assert len(voice.first_by) == 2
    for event in events:
        await prepared.prepare(greeting(event))
    assert len(voice.first_by) == 2


@pytest.mark.parametrize(("message", "expected"), [("Hello {{name}}.", (2, 0)), ("Please call us.", (1, 2))])
async def test_a_message_to_a_machine_is_stored_as_its_variables_require(
    bus_client: Client, prepared: PreparedClips, message: str, expected: tuple[int, int]
) -> None:
    """One without variables may be about the first person who gets it."""
    for number in range(2):
        voicemail = VoicemailPolicy(message=message)
        call = a_call(call_id=UUID(int=number), variables={"name": "Ada"}, voicemail=voicemail)
        sentence = message_sentence(call, 1, cause_of(status_changed(call)))
        assert sentence
        await prepared.prepare(sentence)
        assert await stored(bus_client) == ((1, 0) if number == 0 else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Could you say that again?", (0, 2)), ("Hello Ada.", (1, 0)), ("Until Monday, Ada.", (1, 0))],
)
async def test_a_reusable_sentence_of_a_turn_is_stored_as_its_words_require(
    calls: EventLog,
    bus_client: Client,
    clips: StoredClips,
    voice: FakeSynthesizer,
    turn_events: TurnEventReader,
    start_call: StartCall,
    request_audio: RequestAudio,
    text: str,
    expected: tuple[int, int],
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS, script_template=WITH_NAME, variables={"name": "Ada"})
    player = TurnPlayer(calls, turn_events, SpeechSynthesis([voice], clips, calls), max_silence_seconds=0.5)
    await request_audio(event, 1, 0, text, is_reusable=True)

    async def ignore(_: bytes) -> None:
        return

    await player.play(await player.open(TurnId(event.call_id, 1, 1)), ignore)
    assert await calls.last(AudioReady.subject_for(event.call_id)) is not None
    assert await stored(bus_client) == expected
