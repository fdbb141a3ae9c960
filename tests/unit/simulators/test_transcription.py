"""The simulated realtime transcription, with the audio as its clock."""

import itertools
import random
from typing import Any

import pytest
from tests.builders.spoken_audio import silence, speak

from simulators.elevenlabs.timing import TranscriptionTiming
from simulators.elevenlabs.transcription import Answer, Transcription
from simulators.elevenlabs.transcription_messages import SessionError, TranscriptionQuery
from simulators.elevenlabs.usage import Usage
from simulators.mu_law import FRAME_BYTES
from simulators.spoken_words import SpokenWords

NUMBER = "Seis uno dos tres cuatro"
CHUNK_BYTES = 800


class Session:
    """A session that receives audio in chunks of 100 ms; `answers` are all of them with the second of their cause."""

    def __init__(self, *, seed: int = 1, query: dict[str, Any] | None = None, **timing: Any) -> None:
        self.words = SpokenWords()
        self.usage = Usage()
        self.answers: list[tuple[float, Answer]] = []
        self.seconds = 0.0
        settings: dict[str, Any] = {"model_id": "scribe_v2_realtime", "audio_format": "ulaw_8000", **(query or {})}
        self.transcription = Transcription(
            TranscriptionQuery.model_validate(settings),
            TranscriptionTiming(**{"cold_start_seconds": 0.0, **timing}),
            self.words,
            random.Random(seed),
            self.usage,
        )

    def receive(self, audio: bytes) -> None:
        for start in range(0, len(audio), CHUNK_BYTES):
            chunk = audio[start : start + CHUNK_BYTES]
            self.seconds += len(chunk) / 8000
            self._keep(self.transcription.receive(chunk))

    def speak(self, text: str = NUMBER) -> None:
        self.receive(speak(self.words, text))

    def commit(self) -> None:
        self._keep(self.transcription.commit())

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [answer.message for _, answer in self.answers if answer.message["message_type"] == kind]

    def texts(self, kind: str = "committed_transcript") -> list[str]:
        return [message["text"] for message in self.messages(kind)]

    def when(self, kind: str) -> list[float]:
        return [at for at, answer in self.answers if answer.message["message_type"] == kind]

    def _keep(self, answers: list[Answer]) -> None:
        self.answers += [(self.seconds, answer) for answer in answers]


def test_a_commit_returns_the_words_since_the_last_one() -> None:
    session = Session()
    session.speak("Buenos días.")
    session.commit()
    session.speak("¿Quién es?")
    session.commit()
    assert session.texts() == ["Buenos días.", "¿Quién es?"]
    assert session.usage.commits == 2


def test_a_commit_within_a_word_leaves_it_to_the_next_one() -> None:
    session = Session()
    audio = speak(session.words, "Buenos días.")
    middle = 16 * FRAME_BYTES
    session.receive(audio[:middle])
    session.commit()
    session.receive(audio[middle:] + silence(0.3))
    session.commit()
    assert session.texts() == ["Buenos", "días."]


def test_partials_grow_with_new_words_at_most_every_half_second() -> None:
    session = Session()
    session.speak(NUMBER + " " + NUMBER)
    session.receive(silence(3))
    texts, when = session.texts("partial_transcript"), session.when("partial_transcript")
    assert len(texts) >= 3
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(texts))
    assert texts[-1] == NUMBER + " " + NUMBER
    assert all(later - earlier >= 0.499 for earlier, later in itertools.pairwise(when))


def test_a_partial_after_a_commit_has_only_the_words_after_it() -> None:
    session = Session()
    session.speak("Buenos días.")
    session.commit()
    session.receive(silence(0.5))
    session.speak("Adiós.")
    assert session.texts("partial_transcript")[-1] == "Adiós."


@pytest.mark.parametrize("audio", [silence(1), random.Random(1).randbytes(8000)])
def test_silence_and_noise_contain_no_words(audio: bytes) -> None:
    session = Session()
    session.receive(audio)
    session.commit()
    assert session.texts("partial_transcript") == []
    assert session.texts() == [""]


def test_audio_in_another_format_contains_no_words() -> None:
    session = Session(query={"audio_format": "pcm_16000"})
    session.speak()
    session.commit()
    assert session.texts() == [""]


def test_a_commit_takes_a_time_within_its_bounds_that_the_seed_decides() -> None:
    def delays(seed: int) -> list[float]:
        session = Session(seed=seed)
        for _ in range(20):
            session.speak("Sí, claro.")
            session.commit()
        return [answer.delay_seconds for _, answer in session.answers if "committed" in answer.message["message_type"]]

    assert delays(1) == delays(1) != delays(2)
    assert len(set(delays(1))) == 20
    assert all(0.1 <= delay <= 0.4 for delay in delays(1))


def test_a_cold_session_answers_when_two_seconds_of_audio_have_been_received() -> None:
    session = Session(cold_start_seconds=2.0)
    session.speak("Sí.")
    session.receive(silence(0.5))
    session.commit()
    session.receive(silence(1.0))
    assert session.answers == []
    session.receive(silence(1.0))
    assert session.texts() == ["Sí."]
    assert session.when("committed_transcript") == [pytest.approx(2.0, abs=0.11)]


def test_a_session_is_cold_again_after_a_pause() -> None:
    session = Session(cold_start_seconds=2.0, cold_after_seconds=1.0)
    session.receive(silence(2.1))
    session.transcription.pause(0.5)
    session.speak("Sí.")
    assert session.texts("partial_transcript") == ["Sí."]
    session.transcription.pause(1.5)
    session.commit()
    assert session.texts() == []
    session.receive(silence(2.1))
    assert session.texts() == ["Sí."]


def test_a_pause_has_no_effect_unless_it_is_configured() -> None:
    session = Session(cold_start_seconds=2.0)
    session.receive(silence(2.1))
    session.transcription.pause(3600)
    session.commit()
    assert session.texts() == [""]


def test_a_commit_of_less_than_300_ms_is_throttled_and_keeps_the_words() -> None:
    session = Session()
    session.receive(silence(0.08) + speak(session.words, "Sí.")[: 10 * FRAME_BYTES])
    session.commit()
    [throttled] = session.messages("commit_throttled")
    assert "only 0.28s of uncommitted audio" in throttled["error"]
    assert session.usage.commits == 0
    session.speak("No.")
    session.commit()
    assert session.texts() == ["Sí. No."]


def test_ninety_seconds_are_committed_without_a_request() -> None:
    session = Session()
    session.speak("Hola.")
    session.receive(silence(95))
    assert session.texts() == ["Hola."]
    assert session.when("committed_transcript") == [pytest.approx(90, abs=0.11)]


def test_a_doubled_commit_is_sent_twice() -> None:
    session = Session(doubled_commits=1.0)
    session.speak("Hola. Sí.")
    session.commit()
    assert session.texts() == ["Hola. Sí.", "Hola. Sí."]
    assert session.usage.commits == 1


def test_voice_detection_commits_after_a_long_silence_whatever_the_client_asks_for() -> None:
    session = Session(query={"commit_strategy": "vad", "vad_silence_threshold_secs": 0.3})
    session.receive(silence(3))
    assert session.texts() == []
    session.speak("Hola. ¿Quién es?")
    last_word_at = session.seconds - 0.06
    session.receive(silence(3))
    assert session.texts() == ["Hola. ¿Quién es?"]
    [decided_at] = session.when("committed_transcript")
    assert 0.7 <= decided_at - last_word_at <= 1.0


def test_timestamps_are_seconds_of_the_session() -> None:
    session = Session(query={"include_timestamps": True, "language_code": "es"})
    session.receive(silence(1))
    session.speak("Buenos días.")
    session.commit()
    [timed] = session.messages("committed_transcript_with_timestamps")
    assert session.texts() == [timed["text"]] == ["Buenos días."]
    assert [(word["text"], word["type"], word["start"], word["end"]) for word in timed["words"]] == [
        ("Buenos", "word", 1.0, 1.2),
        (" ", "spacing", 1.2, 1.26),
        ("días.", "word", 1.26, 1.46),
    ]
    assert all(-0.2 < word["logprob"] <= 0 for word in timed["words"])
    assert timed["language_code"] == "es"


def test_a_chunk_that_is_too_long_is_refused() -> None:
    session = Session()
    with pytest.raises(SessionError) as error:
        session.transcription.receive(silence(10.02))
    assert error.value.kind == "chunk_size_exceeded"


def test_what_a_session_remembers_does_not_grow_with_its_audio() -> None:
    session = Session(max_uncommitted_seconds=5)
    for _ in range(50):
        session.speak()
    assert len(session.transcription._words) <= 5 / 0.26
    assert len(session.transcription._waiting) == 0
