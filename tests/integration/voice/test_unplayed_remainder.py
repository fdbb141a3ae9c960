"""A turn with a sentence that cannot be played: its audio, the unplayed remainder, and the recorded events."""

import asyncio
from collections.abc import Callable

import pytest
from nats.aio.client import Client
from tests.integration.voice.conftest import RequestAudio, StartCall, failures, fallback_count, outcomes

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, CallStatusChanged, Event, ReplyGenerated, SpeechFallback
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.turn_events import TurnEventReader
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.domain.mp3 import FrameCutter
from voice.domain.playback import UnplayedRemainder
from voice.domain.turns import TurnId

MakePlayer = Callable[[EventLog], TurnPlayer]
TEXTS = ("The first sentence.", "The second sentence.", "The third sentence.")


def fail(*texts: str) -> list[FaultRule]:
    return [FaultRule(target="elevenlabs", request_body=text, kind="status", status=500) for text in texts]


def delay(text: str) -> FaultRule:
    return FaultRule(target="elevenlabs", request_body=text, kind="latency", seconds=0.5)


CUT_OFF = FaultRule(target="elevenlabs", request_body="first", kind="cut_body")


class FailingLog(EventLog):
    """Raises on `audio.failed`, and appends every other event with a delay."""

    async def append(self, event: Event, **rest: object) -> object:  # type: ignore[override]
        if isinstance(event, AudioFailed):
            raise ConnectionError
        await asyncio.sleep(0.2)
        return await super().append(event, **rest)  # type: ignore[arg-type]


@pytest.fixture
def make_player(turn_events: TurnEventReader, speech: ElevenLabs, clips: StoredClips) -> MakePlayer:
    """Makes a player that waits for the rest of a reply longer than the test may take."""
    return lambda log: TurnPlayer(log, turn_events, SpeechSynthesis([speech], clips, log), max_silence_seconds=3600)


@pytest.fixture
async def event(start_call: StartCall, request_audio: RequestAudio) -> CallStatusChanged:
    """A call with a first turn to play, whose reply is still being generated."""
    event = await start_call()
    for number, text in enumerate(TEXTS):
        await request_audio(event, 1, number, text)
    return event


async def play(player: TurnPlayer, event: CallStatusChanged) -> tuple[UnplayedRemainder | None, float]:
    """Returns the unplayed remainder and the playing time of the audio."""
    cutter = FrameCutter()

    async def write(frames: bytes) -> None:
        assert cutter.feed(frames) == frames

    async with asyncio.timeout(60):
        return await player.play(await player.open(TurnId(event.call_id, 1, 1)), write), cutter.seconds


async def ready_seconds(calls: EventLog, event: CallStatusChanged) -> dict[int, float]:
    """The playing time of each sentence that was synthesized."""
    ready = [one for one in await outcomes(calls, event) if isinstance(one, AudioReady)]
    return {audio.sentence: audio.duration_seconds for one in ready for audio in one.sentences}


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (fail("first", "second", "third"), 0),
        (fail("first"), 0),
        (fail("second"), 1),
        (fail("second", "third"), 1),
        ([delay("first"), *fail("second")], 1),
        ([delay("second"), *fail("third")], 2),
    ],
    ids=[
        "all",
        "the first",
        "one in the middle",
        "the rest",
        "while the previous one is synthesized",
        "before the previous one is ready",
    ],
)
async def test_the_audio_ends_before_the_first_sentence_that_fails_and_the_rest_remains(
    make_player: MakePlayer,
    calls: EventLog,
    event: CallStatusChanged,
    simulators: Simulators,
    rules: list[FaultRule],
    sentence: int,
) -> None:
    simulators.faults.rules = rules
    before = fallback_count(SpeechFallback.SAY)

    remainder, seconds = await play(make_player(calls), event)

    assert remainder
    assert remainder.sentence == sentence
    assert await failures(calls, event) == [(sentence, "say")]
    assert fallback_count(SpeechFallback.SAY) == before + 1
    seconds_by_sentence = await ready_seconds(calls, event)
    assert seconds == pytest.approx(sum(seconds_by_sentence[number] for number in range(sentence)), abs=0.01)


async def test_a_sentence_that_is_cut_off_remains_from_its_beginning(
    make_player: MakePlayer, calls: EventLog, event: CallStatusChanged, simulators: Simulators
) -> None:
    simulators.faults.rules = [CUT_OFF]

    remainder, seconds = await play(make_player(calls), event)

    assert remainder
    assert remainder.sentence == 0
    assert seconds > 0
    assert await failures(calls, event) == [(0, "say")]


async def test_a_remainder_is_returned_even_if_its_failure_cannot_be_recorded(
    make_player: MakePlayer, bus_client: Client, calls: EventLog, event: CallStatusChanged, simulators: Simulators
) -> None:
    simulators.faults.rules = fail("second")

    remainder, _ = await play(make_player(FailingLog(bus_client, "CALLS", source="voice")), event)

    assert remainder
    assert remainder.sentence == 1
    assert await failures(calls, event) == []
    assert 0 in await ready_seconds(calls, event)


async def test_a_turn_that_is_fetched_again_after_a_failure_is_played_completely(
    make_player: MakePlayer, calls: EventLog, event: CallStatusChanged, simulators: Simulators
) -> None:
    simulators.faults.rules = fail("first")
    remainder, seconds = await play(make_player(calls), event)
    assert (remainder is None, seconds) == (False, 0)
    simulators.faults.rules = []
    fields = {"call_id": event.call_id, "attempt": 1, "turn": 1, "text": "", "sentences": 3}
    await calls.append(ReplyGenerated.model_validate({**fields, "model": "m", "latency_seconds": 0}))

    remainder, seconds = await play(make_player(calls), event)

    seconds_by_sentence = await ready_seconds(calls, event)
    assert (remainder, len(seconds_by_sentence)) == (None, 3)
    assert seconds == pytest.approx(sum(seconds_by_sentence.values()), abs=0.01)
