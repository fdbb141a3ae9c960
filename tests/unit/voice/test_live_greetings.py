"""The greeting of a live call is stored in the format of media streams before the call is dialled."""

from typing import cast

import pytest
from elevenlabs.client import AsyncElevenLabs
from tests.builders.calls import a_call
from tests.builders.events import an_envelope, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.providers import provider
from tests.fakes.voice import FakeClips, FakeSynthesizer, FakeTelephony

from chassis.event_log import EventLog
from contracts import AudioRequested, CallStatus
from contracts.vocabulary import ConversationMode
from voice.adapters.elevenlabs import LIVE_OUTPUT_FORMAT, OUTPUT_FORMAT, ElevenLabs
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.dialing import Dialing
from voice.domain.audio_formats import MuLawCutter

MP3 = bytes([0xFF, 0xF3, 0x40, 0xC0]) + bytes(100)
MU_LAW = b"\x20" * 800


@pytest.mark.parametrize(
    ("mode", "is_configured", "expected"),
    [
        (ConversationMode.TURN_BASED, True, [MP3]),
        (ConversationMode.LIVE, True, [MU_LAW]),
        (ConversationMode.LIVE, False, [MP3]),
        (ConversationMode.RELAY, True, []),
        (ConversationMode.RELAY, False, [MP3]),
    ],
)
async def test_the_greeting_is_stored_in_the_format_of_its_mode(
    mode: ConversationMode, is_configured: bool, expected: list[bytes]
) -> None:
    clips, log = FakeClips(), cast("EventLog", FakeEventLog())
    in_turns = PreparedClips(SpeechSynthesis([FakeSynthesizer("mp3", [MP3])], clips, log))
    live = PreparedClips(SpeechSynthesis([FakeSynthesizer("ulaw", [MU_LAW])], clips, log, cutter=MuLawCutter))
    order = status_changed(a_call(CallStatus.DIALING).model_copy(update={"mode": mode}))
    dialing = Dialing(log, FakeTelephony(), in_turns, live_clips=live if is_configured else None)
    await dialing.dial(order, an_envelope())
    assert list(clips.stored.values()) == expected


def test_clips_of_two_formats_have_two_names() -> None:
    client = cast("AsyncElevenLabs", None)
    sentence = AudioRequested(call_id=a_call().call_id, attempt=1, turn=0, sentence=0, text="Hi.", language="en")
    digests = {
        ElevenLabs(client, provider(), voice="v", model="m", output_format=one).build_request(sentence).digest
        for one in (OUTPUT_FORMAT, LIVE_OUTPUT_FORMAT)
    }
    assert len(digests) == 2


def test_every_byte_of_mu_law_can_be_played() -> None:
    cutter = MuLawCutter()
    assert cutter.feed(MU_LAW) == MU_LAW
    assert cutter.feed(b"\x20") == b"\x20"
    assert cutter.seconds == pytest.approx(801 / 8000)
