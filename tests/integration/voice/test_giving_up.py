"""A turn of which a sentence cannot be spoken: where its audio ends, what is left to others, and what is recorded."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, CallStatusChanged, Event, ReplyGenerated
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.spoken_facts import LoggedFacts
from voice.application.speech.synthesis import Speaking
from voice.application.speech.turns import Turns
from voice.domain.mp3 import FrameCutter
from voice.domain.playback import UnplayedRemainder

Begin = Callable[..., Awaitable[CallStatusChanged]]
Ask = Callable[..., Awaitable[None]]
Make = Callable[[EventLog], Turns]
TEXTS = ("The first sentence.", "The second sentence.", "The third sentence.")


def fails(*of: str) -> list[FaultRule]:
    return [FaultRule(target="elevenlabs", request_body=text, kind="status", status=500) for text in of]


def is_slow(of: str) -> FaultRule:
    return FaultRule(target="elevenlabs", request_body=of, kind="latency", seconds=0.5)


BREAKS_OFF = FaultRule(target="elevenlabs", request_body="first", kind="cut_body")


class Troubled(EventLog):
    """Takes down no failure, and everything else with a delay."""

    async def append(self, event: Event, **rest: object) -> object:  # type: ignore[override]
        if isinstance(event, AudioFailed):
            raise ConnectionError
        await asyncio.sleep(0.2)
        return await super().append(event, **rest)  # type: ignore[arg-type]


@pytest.fixture
def make(bus_client: Client, speech: ElevenLabs, clips: ObjectStoreClips) -> Make:
    """So patient that a turn which is given up while its reply is being made must not wait for the rest of it."""
    return lambda log: Turns(log, LoggedFacts(bus_client), Speaking([speech], clips, log), patience=3600)


@pytest.fixture
async def event(begin: Begin, ask: Ask) -> CallStatusChanged:
    """A call with a first turn to speak; its reply is still being made."""
    event = await begin()
    for number, text in enumerate(TEXTS):
        await ask(event, 1, number, text)
    return event


async def play(turns: Turns, event: CallStatusChanged) -> tuple[UnplayedRemainder | None, float]:
    """What is left to others, and how many seconds were sent."""
    heard = FrameCutter()

    async def write(frames: bytes) -> None:
        assert heard.feed(frames) == frames

    async with asyncio.timeout(20):
        return await turns.play(event.call_id, 1, 1, write), heard.seconds


async def outcomes(calls: EventLog, event: CallStatusChanged) -> list[Event]:
    facts = await calls.read((f"{AudioReady.event_name}.{event.call_id}", f"{AudioFailed.event_name}.{event.call_id}"))
    return [recorded.event for recorded in facts]


async def failures(calls: EventLog, event: CallStatusChanged) -> list[tuple[int, str | None]]:
    facts = await outcomes(calls, event)
    return [(fact.sentence, fact.fallback) for fact in facts if isinstance(fact, AudioFailed)]


async def spoken(calls: EventLog, event: CallStatusChanged) -> dict[int, float]:
    """The sentences that were made, and their seconds."""
    facts = await outcomes(calls, event)
    return {fact.sentence: fact.duration_seconds for fact in facts if isinstance(fact, AudioReady)}


def counted() -> float:
    return REGISTRY.get_sample_value("centralita_fallbacks_total", {"step": "say"}) or 0.0


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (fails("first", "second", "third"), 0),
        (fails("first"), 0),
        (fails("second"), 1),
        (fails("second", "third"), 1),
        ([is_slow("first"), *fails("second")], 1),
        ([is_slow("second"), *fails("third")], 2),
    ],
    ids=["all", "the first", "one amidst", "the rest", "while the one before is made", "before the one before is made"],
)
async def test_the_audio_ends_before_the_first_sentence_that_fails_and_the_rest_is_left_to_others(
    make: Make, calls: EventLog, event: CallStatusChanged, simulators: Simulators, rules: list[FaultRule], sentence: int
) -> None:
    simulators.faults.rules = rules
    before = counted()

    unsaid, seconds = await play(make(calls), event)

    assert unsaid
    assert unsaid.sentence == sentence
    assert await failures(calls, event) == [(sentence, "say")]
    assert counted() == before + 1
    made = await spoken(calls, event)
    assert seconds == pytest.approx(sum(made[number] for number in range(sentence)), abs=0.01)


async def test_a_sentence_that_breaks_off_is_said_again_from_its_beginning(
    make: Make, calls: EventLog, event: CallStatusChanged, simulators: Simulators
) -> None:
    simulators.faults.rules = [BREAKS_OFF]

    unsaid, seconds = await play(make(calls), event)

    assert unsaid
    assert unsaid.sentence == 0
    assert seconds > 0
    assert await failures(calls, event) == [(0, "say")]


async def test_what_cannot_be_recorded_is_said_nevertheless_and_what_was_heard_is_recorded(
    make: Make, bus_client: Client, calls: EventLog, event: CallStatusChanged, simulators: Simulators
) -> None:
    simulators.faults.rules = fails("second")

    unsaid, _ = await play(make(Troubled(bus_client, "CALLS", source="voice")), event)

    assert unsaid
    assert unsaid.sentence == 1
    assert await failures(calls, event) == []
    assert 0 in await spoken(calls, event)


async def test_a_turn_that_is_fetched_again_when_all_is_well_is_heard_whole(
    make: Make, calls: EventLog, event: CallStatusChanged, simulators: Simulators
) -> None:
    simulators.faults.rules = fails("first")
    unsaid, seconds = await play(make(calls), event)
    assert (unsaid is None, seconds) == (False, 0)
    simulators.faults.rules = []
    told = {"call_id": event.call_id, "attempt": 1, "turn": 1, "text": "", "sentences": 3}
    await calls.append(ReplyGenerated.model_validate({**told, "model": "m", "latency_seconds": 0}))

    unsaid, seconds = await play(make(calls), event)

    made = await spoken(calls, event)
    assert (unsaid, len(made)) == (None, 3)
    assert seconds == pytest.approx(sum(made.values()), abs=0.01)
