"""The fallback chain of speech with fakes: which source speaks, how often, and the recorded outcome."""

from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import pytest
from tests.fakes.event_log import FakeEventLog
from tests.fakes.voice import FakeClips, FakeSynthesizer

from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, AudioRequested, SpeechFallback
from providers import Failure, RequestFailed
from voice.application.speech.synthesis import Sentence, SpeechSynthesis

FRAME = bytes([0xFF, 0xF3, 0x40, 0xC0]) + bytes(100)
"""One MP3 frame: MPEG 2 layer III, 32 kbit/s, 22050 Hz, mono."""
TRANSIENT = [Failure.UNREACHABLE, Failure.RATE_LIMITED, Failure.SERVER_ERROR, Failure.CUT_OFF, Failure.EMPTY]


@dataclass
class Speech:
    """A speech synthesis with two voices, and the log to which it appends."""

    first: FakeSynthesizer = field(default_factory=lambda: FakeSynthesizer("first", [FRAME]))
    second: FakeSynthesizer = field(default_factory=lambda: FakeSynthesizer("second", [FRAME]))
    clips: FakeClips = field(default_factory=FakeClips)
    log: FakeEventLog = field(default_factory=FakeEventLog)

    def __post_init__(self) -> None:
        self.synthesis = SpeechSynthesis([self.first, self.second], self.clips, cast("EventLog", self.log))

    def request(self, *, is_reusable: bool = False) -> Sentence:
        event = AudioRequested(
            call_id=UUID(int=1),
            attempt=1,
            turn=1 + len(self.log.events(AudioRequested)),
            sentence=0,
            text="Hello.",
            language="en",
            is_reusable=is_reusable,
        )
        stored = self.log.store(event)
        return Sentence(event, stored.envelope, stored.sequence)

    async def speak(self, *, is_reusable: bool = False) -> bytes:
        audio = bytearray()
        sentence = self.request(is_reusable=is_reusable)
        await self.synthesis.record_ready(sentence, [await self.synthesis.speak(sentence, audio.extend)])
        return bytes(audio)

    @property
    def ready(self) -> AudioReady:
        """The last `audio.ready`."""
        event = self.log.events(AudioReady)[-1]
        assert isinstance(event, AudioReady)
        return event


@pytest.mark.parametrize("failure", TRANSIENT)
async def test_a_transient_failure_of_the_requested_voice_is_retried_once(failure: Failure) -> None:
    speech = Speech(first=FakeSynthesizer("first", failures=[failure, failure]))
    await speech.speak()
    assert (len(speech.first.first_by), len(speech.second.first_by)) == (2, 1)
    assert (speech.ready.provider, speech.ready.fallback) == ("second", SpeechFallback.SECOND_VOICE)


@pytest.mark.parametrize("failure", [failure for failure in Failure if failure not in TRANSIENT])
async def test_a_lasting_failure_of_the_requested_voice_is_not_retried(failure: Failure) -> None:
    speech = Speech(first=FakeSynthesizer("first", failures=[failure]))
    await speech.speak()
    assert len(speech.first.first_by) == 1
    assert speech.ready.fallback is SpeechFallback.SECOND_VOICE


async def test_each_voice_has_an_equal_share_of_the_deadline() -> None:
    speech = Speech(first=FakeSynthesizer("first", failures=[Failure.DEADLINE]))
    await speech.speak()
    assert speech.second.first_by[0] - speech.first.first_by[0] == pytest.approx(3.0)


async def test_a_sentence_that_was_cut_off_has_no_fallback_in_another_voice() -> None:
    speech = Speech(first=FakeSynthesizer("first", [FRAME], failures=[Failure.CUT_OFF]))
    with pytest.raises(RequestFailed):
        await speech.speak()
    assert (len(speech.first.first_by), len(speech.second.first_by)) == (1, 0)


async def test_a_clip_in_one_of_the_voices_follows_the_voices() -> None:
    speech = Speech(
        first=FakeSynthesizer("first", failures=[Failure.REFUSED]),
        second=FakeSynthesizer("second", failures=[Failure.REFUSED]),
    )
    sentence = speech.request()
    speech.clips.stored[sentence.clip_name(speech.second.build_request(sentence.event).digest)] = FRAME
    assert await speech.speak() == FRAME
    assert (speech.ready.is_cached, speech.ready.fallback) == (True, SpeechFallback.CLIP)


async def test_a_clip_of_a_reusable_sentence_replaces_its_synthesis() -> None:
    speech = Speech()
    await speech.speak(is_reusable=True)
    assert await speech.speak(is_reusable=True) == FRAME
    assert len(speech.first.first_by) == 1
    assert (speech.ready.is_cached, speech.ready.fallback) == (True, None)


@pytest.mark.parametrize("is_on_line", [True, False])
async def test_a_failed_sentence_falls_back_to_the_providers_voice_only_on_the_line(is_on_line: bool) -> None:
    speech = Speech()
    await speech.synthesis.record_failure(speech.request(), "HTTP 500", is_on_line=is_on_line)
    [failed] = speech.log.events(AudioFailed)
    assert isinstance(failed, AudioFailed)
    assert failed.fallback == ("say" if is_on_line else None)
