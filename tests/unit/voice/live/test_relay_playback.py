"""What was heard of texts that the provider speaks: the words in the history are those that were heard, ± 1."""

import random
from dataclasses import dataclass, field

import pytest

from voice.domain.live.playout import FILLER
from voice.domain.live.relay_playback import SECONDS_PER_CHARACTER, RelayPlayback

SENTENCES = (
    "Good morning, this is Ana.",
    "It is about your order, which we sent on Monday.",
    "Yes.",
    "It is about your invoice: shall I read it?",
    "Yes. No. Yes.",
)


@dataclass
class Speaker:
    """Speaks what it is given at its own rate, and reports it."""

    playback: RelayPlayback
    rate: float
    reports_words: bool
    reports_speaking: bool
    now: float = 0.0
    heard: list[str] = field(default_factory=list)

    def speak(self, texts: list[str], until_word: int) -> None:
        if self.reports_speaking:
            self.playback.speaking(True, self.now)
        for text in texts:
            for word in text.split():
                if len(self.heard) == until_word:
                    return
                self.now += (len(word) + 1) * self.rate
                self.heard.append(word)
                if self.reports_words:
                    self.playback.words_played(word)
        if self.reports_speaking:
            self.playback.speaking(False, self.now)


@pytest.mark.parametrize("seed", range(100))
def test_the_words_until_an_interruption_are_found_in_the_reply(seed: int) -> None:
    generator = random.Random(seed)
    playback = RelayPlayback()
    texts = [generator.choice(SENTENCES) for _ in range(generator.randint(1, 5))]
    for number, text in enumerate(texts):
        playback.add(3, number, text, 0.0)
    words = " ".join(texts).split()
    until = generator.randrange(len(words) + 1)
    speaker = Speaker(playback, generator.uniform(0.05, 0.1), generator.random() < 0.5, generator.random() < 0.8)
    speaker.speak(texts, until)
    heard = playback.heard_until(3, " ".join(speaker.heard), speaker.now, speaker.now)
    assert heard.text.split() == words[:until]
    assert heard.turn_seconds == speaker.now
    assert 0 <= heard.sentence_seconds <= heard.turn_seconds
    if until:
        assert sum(len(text.split()) for text in texts[: heard.sentence]) < until


@pytest.mark.parametrize("seed", range(50))
def test_without_a_report_of_the_interruption_the_words_played_or_the_clock_tell(seed: int) -> None:
    generator = random.Random(seed)
    playback = RelayPlayback()
    texts = [generator.choice(SENTENCES) for _ in range(3)]
    for number, text in enumerate(texts):
        playback.add(3, number, text, 0.0)
    words = " ".join(texts).split()
    until = generator.randrange(1, len(words))
    reports_words = generator.random() < 0.5
    speaker = Speaker(playback, SECONDS_PER_CHARACTER, reports_words, reports_speaking=True)
    speaker.speak(texts, until)
    count = len(playback.heard(3, speaker.now).text.split())
    assert abs(count - until) <= (0 if reports_words else 1)


def test_the_last_words_suffice_if_the_rest_was_spoken_otherwise() -> None:
    playback = RelayPlayback()
    playback.add(1, 0, "It costs 20 €.", 0.0)
    playback.add(1, 1, "Shall I send it to you by letter, or by mail?", 0.0)
    heard = playback.heard_until(1, "It costs twenty euros. Shall I send it to you", 3.0, 5.0)
    assert (heard.sentence, heard.text) == (1, "It costs 20 €. Shall I send it to you")


def test_an_utterance_that_is_not_ours_is_replaced_by_the_clock() -> None:
    playback = RelayPlayback()
    playback.add(1, 0, "Good morning, this is Ana.", 0.0)
    assert playback.heard_until(1, "One moment", None, 0.0).text == ""
    assert playback.heard_until(1, "", None, 0.0).text == ""
    assert playback.heard_until(1, "Nothing of ours", None, 60.0).text == "Good morning, this is Ana."


def test_a_repeated_word_is_found_behind_what_was_played() -> None:
    playback = RelayPlayback()
    for number, text in enumerate(("Yes.", "Well,", "yes.")):
        playback.add(1, number, text, 0.0)
    playback.words_played("Yes. Well, yes.")
    assert playback.heard_until(1, "yes.", None, 1.0).text == "Yes. Well, yes."


def test_the_end_of_a_filler_is_not_that_of_the_reply_that_was_just_sent() -> None:
    playback = RelayPlayback()
    playback.add(1, FILLER, "One moment, please.", 0.0)
    playback.speaking(True, 0.3)
    playback.add(1, 0, "It is on Monday.", 1.6)
    playback.speaking(False, 1.7)
    assert playback.take_heard() == [(1, FILLER)]
    assert playback.is_audible(1.7)
    playback.speaking(True, 1.8)
    playback.speaking(False, 3.0)
    assert playback.take_heard() == [(1, 0)]


def test_words_of_a_reply_that_was_replaced_are_not_those_of_the_new_one() -> None:
    playback = RelayPlayback()
    playback.add(1, 0, "It is about your order.", 0.0)
    playback.words_played("It is")
    playback.clear(is_by_provider=False)
    playback.add(2, 0, "Good.", 1.0)
    playback.words_played("about your order.")
    assert playback.take_heard() == []
    playback.words_played("Good.")
    assert playback.take_heard() == [(2, 0)]


def test_a_provider_may_report_all_words_of_a_text_or_of_a_reply_so_far() -> None:
    for reports in (
        ["Good", "Good morning.", "It", "It is"],
        ["Good", "Good morning.", "Good morning. It", "Good morning. It is"],
        ["Good", "morning.", "It", "is"],
    ):
        playback = RelayPlayback()
        playback.add(1, 0, "Good morning.", 0.0)
        playback.add(1, 1, "It is Ana.", 0.0)
        for report in reports:
            playback.words_played(report)
        assert playback.heard(1, 0.0).text == "Good morning. It is"
        assert playback.take_heard() == [(1, 0)]
        playback.words_played("Something else.")
        assert playback.heard(1, 0.0).text == "Good morning. It is"


def test_a_provider_that_reports_nothing_is_followed_by_the_clock() -> None:
    playback = RelayPlayback()
    playback.add(1, 0, "Good.", 0.0)
    playback.check(0.5)
    assert playback.is_audible(0.5)
    playback.check(2.0)
    assert not playback.is_audible(2.0)


def test_the_end_of_a_speech_may_be_lost() -> None:
    playback = RelayPlayback()
    playback.add(1, 0, "Good.", 0.0)
    playback.speaking(True, 0.2)
    playback.check(10.0)
    assert playback.is_audible(10.0)
    playback.check(20.0)
    assert not playback.is_audible(22.0)
    assert playback.take_heard() == [(1, 0)]
