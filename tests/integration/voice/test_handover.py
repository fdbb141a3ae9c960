"""The hand-over of a turn to the provider's voice: from which sentence, when, and when not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest
from starlette.applications import Starlette
from tests.builders.turns import a_reply
from tests.fakes.voice import FakeSpokenFallback
from tests.integration.voice.conftest import RequestAudio, StartCall, failures, fallback_count

from chassis.event_log import EventLog
from contracts import (
    CallStatus,
    CallStatusChanged,
    DialPlaced,
    HangupReason,
    SpeechFallback,
    SpeechHeard,
    TransferKind,
    TransferRequested,
    TransferStarted,
)
from simulators.faults import FaultRule
from simulators.server import Simulators
from simulators.serving import serving
from telephony.media import sign
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.turn_events import TurnEventReader
from voice.adapters.twilio import Twilio
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.application.telephony.handover import Handover
from voice.domain.mp3 import FrameCutter
from voice.domain.playback import UnplayedRemainder
from voice.domain.turns import TurnId
from voice.entrypoints.media import build_routes
from voice.ports import DialOrder

KEY = b"a-key"
TEXTS = ("The first sentence.", "The second sentence.", "The third sentence.")
NOW = 0.0
"""An instant in the past of every clock."""


def fail(*texts: str) -> list[FaultRule]:
    return [FaultRule(target="elevenlabs", request_body=text, kind="status", status=500) for text in texts]


@pytest.fixture
def spoken_fallback() -> FakeSpokenFallback:
    return FakeSpokenFallback()


@pytest.fixture
async def handover(calls: EventLog, spoken_fallback: FakeSpokenFallback) -> AsyncIterator[Handover]:
    async with aclosing(Handover(calls, spoken_fallback)) as handover:
        yield handover


@pytest.fixture
def player(calls: EventLog, turn_events: TurnEventReader, speech: ElevenLabs, clips: StoredClips) -> TurnPlayer:
    """A player that waits for the rest of a reply longer than the test may take."""
    return TurnPlayer(calls, turn_events, SpeechSynthesis([speech], clips, calls), max_silence_seconds=3600)


@pytest.fixture
async def media(player: TurnPlayer, handover: Handover) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the media route."""
    app = Starlette(routes=build_routes(player, handover, KEY))
    async with serving(app, "127.0.0.1") as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
async def event(calls: EventLog, start_call: StartCall, request_audio: RequestAudio) -> CallStatusChanged:
    """A call that the provider has accepted, with a first turn to play."""
    event = await start_call()
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA1"))
    for number, text in enumerate(TEXTS):
        await request_audio(event, 1, number, text)
    return event


async def listen(media: httpx.AsyncClient, event: CallStatusChanged, after: int = 0, **query: str) -> bytes:
    path = f"/media/{event.call_id}/{event.attempt}/1"
    position = {"after": str(after)} if after else {}
    answer = await media.get(path, params={"token": sign(KEY, path, after), **position, **query})
    assert answer.status_code == 200
    return answer.content


async def until_requested(spoken_fallback: FakeSpokenFallback) -> None:
    async with asyncio.timeout(60):
        while not spoken_fallback.requests:
            await asyncio.sleep(0.01)


async def test_the_remainder_of_a_turn_is_spoken_on_its_line(
    media: httpx.AsyncClient,
    calls: EventLog,
    event: CallStatusChanged,
    simulators: Simulators,
    spoken_fallback: FakeSpokenFallback,
) -> None:
    simulators.faults.rules = fail("second")
    before = await calls.last(DialPlaced.subject_for(event.call_id))
    assert before is not None
    audio = await listen(media, event, after=before.sequence)
    assert FrameCutter().feed(audio) == audio != b""
    await until_requested(spoken_fallback)
    assert spoken_fallback.requests == [("CA1", event.call_id, 1, 1, 1, before.sequence)], "the edge reads from there"


async def announce(calls: EventLog, event: CallStatusChanged, turn: int) -> None:
    """A transfer is requested in a turn, and the reply of the first turn is complete."""
    place = {"call_id": event.call_id, "attempt": 1, "turn": turn}
    await calls.append(
        TransferRequested(**place, destination="desk", kind=TransferKind.COLD, phone_number="+12125550145")
    )
    await calls.append(a_reply(event.call_id, 1, " ".join(TEXTS)).model_copy(update={"sentences": len(TEXTS)}))


async def test_a_reply_that_announces_a_transfer_is_handed_over_when_it_was_heard(
    media: httpx.AsyncClient, calls: EventLog, event: CallStatusChanged, spoken_fallback: FakeSpokenFallback
) -> None:
    await announce(calls, event, 1)
    await listen(media, event)
    await until_requested(spoken_fallback)
    assert spoken_fallback.requests == [("CA1", event.call_id, 1, 1, len(TEXTS), 0)]


async def test_a_reply_before_that_of_a_transfer_is_not_handed_over(
    player: TurnPlayer, calls: EventLog, event: CallStatusChanged
) -> None:
    async def write(_: bytes) -> None:
        pass

    await announce(calls, event, 2)
    assert await player.play(await player.open(TurnId(event.call_id, 1, 1)), write) is None


async def test_a_transfer_that_has_begun_is_not_cut(
    handover: Handover, calls: EventLog, event: CallStatusChanged, spoken_fallback: FakeSpokenFallback
) -> None:
    call = event.call.model_copy(update={"has_tools": True})
    await calls.append(event.model_copy(update={"call": call}))
    started = TransferStarted(
        call_id=event.call_id,
        attempt=1,
        turn=1,
        destination="desk",
        kind=TransferKind.COLD,
        ring_seconds=25,
        max_seconds=600,
    )
    await calls.append(started)
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(3, NOW))
    assert not spoken_fallback.requests, "the words of the callee came first"
    await handover.schedule(TurnId(event.call_id, 1, 2), UnplayedRemainder(3, NOW))
    assert len(spoken_fallback.requests) == 1, "an older one"


async def test_a_turn_that_is_not_played_on_the_line_is_not_handed_over(
    media: httpx.AsyncClient,
    calls: EventLog,
    event: CallStatusChanged,
    simulators: Simulators,
    spoken_fallback: FakeSpokenFallback,
) -> None:
    simulators.faults.rules = fail("first")
    before = fallback_count(SpeechFallback.SAY)
    assert await listen(media, event, aside="true") == b""
    assert await failures(calls, event) == [(0, None)]
    assert fallback_count(SpeechFallback.SAY) == before
    simulators.faults.rules = fail("second")
    await listen(media, event)
    await until_requested(spoken_fallback)
    assert [sentence for *_, sentence, _ in spoken_fallback.requests] == [1]


async def test_a_hand_over_waits_until_the_audio_that_was_sent_has_been_played(
    handover: Handover,
    calls: EventLog,
    start_call: StartCall,
    event: CallStatusChanged,
    spoken_fallback: FakeSpokenFallback,
) -> None:
    other = await start_call()
    await calls.append(DialPlaced(call_id=other.call_id, attempt=1, provider_call_id="CA2"))
    handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(1, asyncio.get_running_loop().time() + 3600))
    await handover.schedule(TurnId(other.call_id, 1, 1), UnplayedRemainder(1, NOW))
    assert [sid for sid, *_ in spoken_fallback.requests] == ["CA2"]


async def test_a_later_hand_over_replaces_an_earlier_one_of_the_same_call(
    handover: Handover, event: CallStatusChanged, spoken_fallback: FakeSpokenFallback
) -> None:
    much_later = asyncio.get_running_loop().time() + 3600
    replaced = handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(1, much_later))
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(2, NOW))
    await asyncio.wait({replaced})
    assert replaced.cancelled()
    assert spoken_fallback.requests == [("CA1", event.call_id, 1, 1, 2, 0)]


async def test_scheduled_hand_overs_are_cancelled_when_the_service_stops(
    handover: Handover, event: CallStatusChanged, spoken_fallback: FakeSpokenFallback
) -> None:
    waiting = handover.schedule(
        TurnId(event.call_id, 1, 1), UnplayedRemainder(1, asyncio.get_running_loop().time() + 3600)
    )
    await asyncio.sleep(0)
    await handover.aclose()
    assert waiting.cancelled()
    assert not spoken_fallback.requests


async def test_a_hand_over_that_fails_does_not_affect_the_next(
    handover: Handover, event: CallStatusChanged, spoken_fallback: FakeSpokenFallback
) -> None:
    spoken_fallback.is_broken = True
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(1, NOW))
    spoken_fallback.is_broken = False
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(1, NOW))
    assert len(spoken_fallback.requests) == 1


@pytest.mark.parametrize(
    ("utterance", "turn", "is_spoken"), [((1, 1), 1, True), ((1, 2), 1, False), ((1, 2), 2, True), ((2, 1), 1, False)]
)
async def test_an_overtaken_turn_is_not_spoken(
    handover: Handover,
    calls: EventLog,
    event: CallStatusChanged,
    spoken_fallback: FakeSpokenFallback,
    utterance: tuple[int, int],
    turn: int,
    is_spoken: bool,
) -> None:
    attempt, newest = utterance
    await calls.append(
        SpeechHeard(call_id=event.call_id, attempt=attempt, turn=newest, text="Who is it?", language="en")
    )
    await handover.schedule(TurnId(event.call_id, 1, turn), UnplayedRemainder(1, NOW))
    assert bool(spoken_fallback.requests) is is_spoken


@pytest.mark.parametrize(
    "over", [{"status": CallStatus.COMPLETED}, {"hangup_reason": HangupReason.CANCELED}, {"attempt": 2}]
)
async def test_nothing_is_spoken_on_a_line_that_is_closed(
    handover: Handover,
    calls: EventLog,
    event: CallStatusChanged,
    spoken_fallback: FakeSpokenFallback,
    over: dict[str, object],
) -> None:
    call = event.call.model_copy(update=over)
    await calls.append(event.model_copy(update={"call": call, "status": call.status, "attempt": call.attempt}))
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(1, NOW))
    assert not spoken_fallback.requests


async def test_nothing_is_spoken_in_a_call_without_a_provider_call_id(
    handover: Handover, start_call: StartCall, spoken_fallback: FakeSpokenFallback
) -> None:
    await handover.schedule(TurnId((await start_call()).call_id, 1, 1), UnplayedRemainder(1, NOW))
    assert not spoken_fallback.requests


async def test_a_call_in_progress_fetches_the_instructions_that_speak_the_turn(
    telephony: Twilio, start_call: StartCall, simulators: Simulators
) -> None:
    event = await start_call()
    sid = await telephony.dial(DialOrder(event.call_id, 1, "+12125550123", 30, 600))

    async def fetched() -> list[str]:
        return [entry.url for call in simulators.ledger.calls for entry in call.webhooks]

    async with asyncio.timeout(60):
        while not any("/twilio/voice/" in url for url in await fetched()):
            await asyncio.sleep(0.02)
        await telephony.redirect_to_remainder(sid, event.call_id, 1, 3, 2, after_sequence=7)
        while not any(f"/twilio/say/{event.call_id}/1/3?from=2&after=7#" in url for url in await fetched()):
            await asyncio.sleep(0.02)
        await telephony.hang_up(sid)
        await telephony.redirect_to_remainder(sid, event.call_id, 1, 4, 0)
    assert not any("/1/4" in url for url in await fetched())
