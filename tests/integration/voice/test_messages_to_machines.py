"""A message for a voicemail: synthesized before the line is redirected to it, and not after a person was recognized."""

from datetime import UTC, datetime

import pytest
from tests.builders.events import an_envelope
from tests.integration.voice.conftest import StartCall, cause_of, failures, speak

from chassis.event_log import EventLog
from contracts import (
    AudioReady,
    CallMessageRequested,
    CallStatus,
    CallStatusChanged,
    DialPlaced,
    HangupReason,
    TelephonyStatus,
    TelephonyStatusReported,
    VoicemailDelivery,
    VoicemailPolicy,
)
from contracts.vocabulary import MESSAGE_TURN
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.turn_events import TurnEventReader
from voice.application.speech.prepared_clips import PreparedClips, message_sentence
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.application.telephony.attempts import AttemptInProgress
from voice.application.telephony.handover import Handover
from voice.application.telephony.messages import Messages
from voice.domain.clips import ClipName
from voice.domain.mp3 import SILENCE
from voice.domain.playback import UnplayedRemainder
from voice.domain.turns import TurnId

MACHINE = {"voicemail": VoicemailPolicy(message="Hello {{name}}."), "voicemail_delivery": VoicemailDelivery.NONE}


class Line:
    """Records the redirects, and whether the clip of the message was stored when each was requested."""

    def __init__(self, clips: StoredClips) -> None:
        self._clips = clips
        self.name: ClipName | None = None
        self.redirects: list[tuple[str, bool]] = []
        self.remainders = 0

    async def redirect_to_message(self, provider_call_id: str, call_id: object, attempt: int) -> None:
        self.redirects.append((provider_call_id, self.name is not None and await self._clips.has(self.name)))

    async def redirect_to_remainder(self, *_: object, **__: object) -> None:
        self.remainders += 1


@pytest.fixture
def synthesis(calls: EventLog, speech: ElevenLabs, clips: StoredClips) -> SpeechSynthesis:
    return SpeechSynthesis([speech], clips, calls)


@pytest.fixture
def line(clips: StoredClips) -> Line:
    return Line(clips)


@pytest.fixture
def messages(calls: EventLog, synthesis: SpeechSynthesis, line: Line) -> Messages:
    return Messages(calls, PreparedClips(synthesis), line)


@pytest.fixture
async def event(start_call: StartCall, calls: EventLog, line: Line, speech: ElevenLabs) -> CallStatusChanged:
    """A call whose machine waits for the message."""
    event = await start_call(CallStatus.IN_PROGRESS)
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA1"))
    machine = await move(calls, event, **MACHINE)
    sentence = message_sentence(machine.call, 1, cause_of(machine))
    assert sentence
    line.name = sentence.clip_name(speech.build_request(sentence.event).digest)
    return machine


async def move(calls: EventLog, event: CallStatusChanged, **changes: object) -> CallStatusChanged:
    """Appends a decision after which the call has these fields."""
    moved = event.model_copy(update={"call": event.call.model_copy(update=changes)})
    await calls.append(moved)
    return moved


async def leave(messages: Messages, event: CallStatusChanged) -> None:
    request = CallMessageRequested(call=event.call, occurred_at=datetime.now(UTC))
    await messages.leave(request, an_envelope("message-request"))


async def test_the_line_is_redirected_when_the_message_is_stored(
    messages: Messages, event: CallStatusChanged, line: Line
) -> None:
    await leave(messages, event)
    assert line.redirects == [("CA1", True)]


async def test_what_is_left_begins_with_who_calls(
    messages: Messages, event: CallStatusChanged, line: Line, calls: EventLog, speech: ElevenLabs
) -> None:
    moved = await move(calls, event, company="Acme", message_disclosure="An AI of Acme.")
    sentence = message_sentence(moved.call, 1, cause_of(moved))
    assert sentence
    assert sentence.event.text == "An AI of Acme. Hello Ana."
    line.name = sentence.clip_name(speech.build_request(sentence.event).digest)
    await leave(messages, moved)
    assert line.redirects == [("CA1", True)]


async def test_a_message_that_cannot_be_synthesized_is_recorded_before_the_redirect(
    messages: Messages, event: CallStatusChanged, line: Line, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", kind="status", status=500)]
    await leave(messages, event)
    assert line.redirects == [("CA1", False)]
    assert await failures(calls, event) == [(0, "say")]
    [stored] = await calls.read((f"audio.failed.{event.call_id}",))
    assert stored.event.model_dump()["turn"] == MESSAGE_TURN


@pytest.mark.parametrize(
    "changes",
    [
        {"voicemail_delivery": VoicemailDelivery.CUT},
        {"voicemail_delivery": None},
        {"hangup_reason": HangupReason.CANCELED},
        {"status": CallStatus.VOICEMAIL},
        {"attempt": 2, "status": CallStatus.DIALING, "voicemail_delivery": None},
    ],
    ids=["it begins", "a person was recognized", "canceled", "the line is closed", "a later attempt"],
)
async def test_a_message_that_is_not_awaited_redirects_no_line(
    messages: Messages, event: CallStatusChanged, line: Line, calls: EventLog, changes: dict[str, object]
) -> None:
    await move(calls, event, **changes)
    await leave(messages, event)
    assert line.redirects == []


async def test_a_person_who_is_recognized_during_the_synthesis_is_not_redirected(
    event: CallStatusChanged, line: Line, calls: EventLog
) -> None:
    class SlowClips(PreparedClips):
        def __init__(self) -> None:
            pass

        async def prepare(self, _: object) -> None:
            await move(calls, event, voicemail_delivery=None)

    await leave(Messages(calls, SlowClips(), line), event)
    assert line.redirects == []


async def test_the_line_is_found_by_a_callback_and_awaited_until_then(
    messages: Messages, start_call: StartCall, line: Line, calls: EventLog
) -> None:
    event = await move(calls, await start_call(CallStatus.IN_PROGRESS), **MACHINE)
    with pytest.raises(AttemptInProgress):
        await leave(messages, event)
    reported = TelephonyStatusReported(
        call_id=event.call_id, attempt=1, provider_call_id="CA2", status=TelephonyStatus.IN_PROGRESS
    )
    await calls.append(reported)
    await leave(messages, event)
    assert [sid for sid, _ in line.redirects] == ["CA2"]


async def test_the_audio_of_a_message_is_that_of_its_text(
    event: CallStatusChanged, calls: EventLog, synthesis: SpeechSynthesis, turn_events: TurnEventReader
) -> None:
    player = TurnPlayer(calls, turn_events, synthesis, max_silence_seconds=3600)
    audio = bytearray()

    async def write(frames: bytes) -> None:
        audio.extend(frames)

    assert await player.play(await player.open(TurnId(event.call_id, 1, MESSAGE_TURN)), write) is None
    [stored] = await calls.read((AudioReady.subject_for(event.call_id),))
    sentence = message_sentence(event.call, 1, cause_of(event))
    assert sentence
    spoken = await speak(synthesis, sentence)
    assert bytes(audio) == spoken != b""
    assert isinstance(stored.event, AudioReady)


async def test_a_call_without_a_message_has_no_audio_for_it(
    start_call: StartCall, calls: EventLog, synthesis: SpeechSynthesis, turn_events: TurnEventReader
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    player = TurnPlayer(calls, turn_events, synthesis, max_silence_seconds=3600)

    audio = bytearray()

    async def write(frames: bytes) -> None:
        audio.extend(frames)

    assert await player.play(await player.open(TurnId(event.call_id, 1, MESSAGE_TURN)), write) is None
    assert audio == SILENCE


async def test_the_remainder_of_a_turn_does_not_interrupt_a_message(
    event: CallStatusChanged, calls: EventLog, line: Line
) -> None:
    handover = Handover(calls, line)
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(sentence=0, speak_at=0))
    assert line.remainders == 0
    await move(calls, event, voicemail_delivery=None)
    await handover.schedule(TurnId(event.call_id, 1, 1), UnplayedRemainder(sentence=0, speak_at=0))
    assert line.remainders == 1
