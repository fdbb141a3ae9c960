"""Barge-in in virtual time: a sound pauses, words interrupt, anything else resumes."""

import random
from dataclasses import dataclass, field

import pytest

from contracts.vocabulary import InterruptionReason
from voice.domain.live.barge_in import BargeIn, Decision, Dismiss, Interrupt, Nothing, Pause, Resume
from voice.domain.live.playout import Playing
from voice.domain.live.voicing import Voice

FRAME_SECONDS = 0.02
SPEAKING = Playing(seconds=2.0, is_interruptible=True, is_answerable=False)


@dataclass
class Talk:
    """Our speech, which goes on but for pauses, and the sounds of a callee: from, to, decibels above the noise."""

    barge_in: BargeIn = field(default_factory=lambda: BargeIn("es-ES"))
    sounds: list[tuple[float, float, float]] = field(default_factory=list)
    playing: Playing | None = SPEAKING
    now: float = 0.0
    decisions: list[tuple[float, Decision]] = field(default_factory=list)

    def until(self, end: float) -> "Talk":
        while self.now < end - 1e-9:
            self.now = round(self.now + FRAME_SECONDS, 6)
            decibels = max((loud for start, stop, loud in self.sounds if start < self.now <= stop), default=0.0)
            self.take(self.barge_in.voiced(self.now, Voice(decibels > 6, decibels), self.heard))
        return self

    @property
    def heard(self) -> Playing | None:
        return None if self.barge_in.is_paused else self.playing

    def words(self, text: str) -> "Talk":
        self.take(self.barge_in.words(self.now, text, self.heard))
        return self

    def take(self, decision: Decision) -> None:
        if decision != Nothing():
            self.decisions.append((round(self.now, 2), decision))
        if isinstance(decision, Interrupt):
            self.playing = None

    @property
    def kinds(self) -> list[type]:
        return [type(decision) for _, decision in self.decisions]


def test_frames_that_do_not_count_may_be_left_out() -> None:
    generator = random.Random(1)
    whole, sparse = BargeIn("en"), BargeIn("en")
    left_out, now = 0, 0.0
    for _ in range(2_000):
        loudness, playing = generator.choice([0.0, 8.0, 20.0]), generator.choice([SPEAKING, SPEAKING, None])
        words = generator.choice(["", "", "aha", "stop it"])
        for _ in range(generator.randint(1, 60)):
            now += FRAME_SECONDS
            voice = Voice(loudness > 6, loudness)
            decision = whole.voiced(now, voice, playing)
            if voice.is_voiced or sparse.needs_silence:
                assert sparse.voiced(now, voice, playing) == decision
            else:
                assert decision == Nothing()
                left_out += 1
        assert whole.words(now, words, playing) == sparse.words(now, words, playing)
    assert left_out > 1_000


def test_a_voice_pauses_our_speech_after_100_to_140_ms() -> None:
    talk = Talk(sounds=[(1.0, 2.0, 20.0)]).until(1.2)
    [(at, decision)] = talk.decisions
    assert decision == Pause()
    assert 0.1 <= at - 1.0 <= 0.14


def test_a_cough_pauses_and_our_speech_resumes_after_900_ms() -> None:
    talk = Talk(sounds=[(1.0, 1.3, 20.0)]).until(4.0)
    assert [decision for _, decision in talk.decisions] == [Pause(), Resume("")]
    assert talk.decisions[1][0] - 1.3 == pytest.approx(0.9, abs=0.021)
    assert (talk.barge_in.pauses, talk.barge_in.resumes, talk.barge_in.backchannels) == (1, 1, 0)


@pytest.mark.parametrize("text", ["espere un momento", "No", "sí pero no", "¿qué?"])
def test_words_interrupt(text: str) -> None:
    talk = Talk(sounds=[(1.0, 1.6, 20.0)]).until(1.5).words(text)
    assert [decision for _, decision in talk.decisions] == [Pause(), Interrupt(InterruptionReason.WORDS, text)]
    assert not talk.barge_in.is_paused


@pytest.mark.parametrize(("language", "text"), [("es", "Ajá."), ("es", "sí, sí"), ("en", "mm-hm"), ("en", "I see")])
def test_a_backchannel_does_not_interrupt(language: str, text: str) -> None:
    talk = Talk(BargeIn(language), sounds=[(1.0, 1.5, 20.0)]).until(1.6).words(text).until(4.0)
    assert [decision for _, decision in talk.decisions] == [Pause(), Resume(text)]
    assert talk.barge_in.backchannels == 1


def test_a_short_word_after_a_question_is_an_answer() -> None:
    talk = Talk(sounds=[(1.0, 1.3, 20.0)], playing=Playing(2.0, True, is_answerable=True)).until(1.4).words("Sí.")
    assert talk.kinds == [Pause, Interrupt]


def test_700_ms_of_voice_interrupt_without_words() -> None:
    talk = Talk(sounds=[(1.0, 2.5, 20.0)]).until(3.0)
    assert talk.kinds == [Pause, Interrupt]
    assert talk.decisions[1][0] - 1.0 == pytest.approx(0.7, abs=0.041)


def test_a_long_voice_interrupts_although_only_a_backchannel_was_understood() -> None:
    talk = Talk(sounds=[(1.0, 4.0, 20.0)]).until(1.5).words("claro").until(5.0)
    assert talk.kinds == [Pause, Interrupt]
    assert talk.decisions[1][0] == pytest.approx(3.0, abs=0.05)


def test_a_key_interrupts() -> None:
    talk = Talk()
    talk.take(talk.barge_in.key(talk.now, talk.heard))
    assert [decision for _, decision in talk.decisions] == [Interrupt(InterruptionReason.KEYS, "")]
    assert talk.barge_in.key(talk.now, None) == Nothing()


def test_a_sentence_that_is_not_interruptible_is_not() -> None:
    talk = Talk(sounds=[(1.0, 3.0, 30.0)], playing=Playing(2.0, is_interruptible=False, is_answerable=False))
    talk.until(2.0).words("espere un momento").until(4.0)
    assert talk.barge_in.key(talk.now, talk.heard) == Nothing()
    assert talk.decisions == []


def test_silence_of_ours_cannot_be_interrupted() -> None:
    talk = Talk(sounds=[(1.0, 3.0, 30.0)], playing=None).until(2.0).words("espere un momento").until(4.0)
    assert talk.decisions == []


def test_an_echo_at_the_beginning_of_our_speech_must_be_louder() -> None:
    beginning = Playing(0.1, is_interruptible=True, is_answerable=False)
    assert Talk(sounds=[(1.0, 1.2, 12.0)], playing=beginning).until(1.2).decisions == []
    assert Talk(sounds=[(1.0, 1.2, 16.0)], playing=beginning).until(1.2).kinds == [Pause]
    assert Talk(sounds=[(1.0, 1.2, 12.0)]).until(1.2).kinds == [Pause]
    assert Talk(sounds=[(1.0, 1.2, 8.0)]).until(1.2).decisions == []


def test_after_three_pauses_without_words_a_sound_must_be_louder() -> None:
    sounds = [(at, at + 0.2, 12.0) for at in (1.0, 4.0, 7.0, 10.0)]
    talk = Talk(sounds=[*sounds, (13.0, 13.2, 16.0)]).until(15.0)
    assert talk.kinds == [Pause, Resume] * 3 + [Dismiss] + [Pause, Resume]


def test_words_of_a_quiet_voice_interrupt_without_a_pause() -> None:
    talk = Talk(sounds=[(1.0, 1.5, 7.0)]).until(1.6).words("espere un momento")
    assert talk.kinds == [Interrupt]


def test_words_that_no_voice_belongs_to_are_ignored() -> None:
    assert Talk().until(2.0).words("espere un momento").decisions == []


def test_late_words_interrupt_after_our_speech_has_resumed() -> None:
    talk = Talk(sounds=[(1.0, 1.3, 20.0)]).until(2.6).words("espere un momento")
    assert talk.kinds == [Pause, Resume, Interrupt]
    talk = Talk(sounds=[(1.0, 1.3, 20.0)]).until(2.6).words("ajá")
    assert talk.kinds == [Pause, Resume, Dismiss]
    talk = Talk(sounds=[(1.0, 1.3, 20.0)]).until(9.0).words("espere un momento")
    assert talk.kinds == [Pause, Resume]


def test_each_pause_ends_and_only_once() -> None:
    """Random sounds and words: pauses alternate with their ends, and none lasts longer than its sound and 900 ms."""
    for seed in range(200):
        generator = random.Random(seed)
        at, sounds = 0.5, []
        for _ in range(generator.randint(1, 6)):
            length = generator.uniform(0.02, 1.2)
            sounds.append((at, at + length, generator.uniform(3, 25)))
            at += length + generator.uniform(0.02, 2.0)
        talk = Talk(sounds=sounds)
        while talk.now < at + 1.5:
            talk.until(talk.now + 0.3)
            if generator.random() < 0.2:
                talk.words(generator.choice(["ajá", "sí", "", "no", "espere un momento", "claro"]))
        paused_at = None
        for when, decision in talk.decisions:
            if isinstance(decision, Pause):
                assert paused_at is None, seed
                paused_at = when
            elif isinstance(decision, Resume | Interrupt):
                assert isinstance(decision, Interrupt) or paused_at is not None, seed
                paused_at = None
        assert not talk.barge_in.is_paused, seed
        assert talk.barge_in.pauses - talk.barge_in.resumes in {0, 1}, seed


def test_a_short_sound_that_began_during_our_speech_is_dismissed_after_its_end() -> None:
    talk = Talk(sounds=[(1.0, 1.4, 7.0)]).until(1.2)
    talk.playing = None
    talk.until(1.7).words("mm-hm")
    assert talk.decisions == [(1.7, Dismiss("mm-hm"))]
    assert talk.barge_in.backchannels == 1


def test_a_sound_of_its_own_after_our_speech_dismisses_the_one_that_began_before() -> None:
    talk = Talk(sounds=[(1.0, 1.3, 7.0), (1.6, 3.0, 7.0)]).until(1.1)
    talk.playing = None
    talk.until(2.0)
    assert talk.decisions == [(1.66, Dismiss(""))]
    talk.words("sí, claro").until(4.0)
    assert talk.kinds == [Dismiss]


@pytest.mark.parametrize(("stop", "words"), [(1.4, "Quiero hablar"), (2.2, "mm-hm")])
def test_words_and_a_long_voice_that_began_during_our_speech_are_kept(stop: float, words: str) -> None:
    talk = Talk(sounds=[(1.0, stop, 7.0)]).until(1.2)
    talk.playing = None
    talk.until(stop + 0.3).words(words).until(5.0)
    assert talk.decisions == []


def test_silence_after_a_sound_makes_it_no_answer() -> None:
    talk = Talk(sounds=[(1.0, 1.3, 20.0)]).until(2.0)
    assert talk.kinds == [Pause]
    quiet = Talk(sounds=[(1.0, 1.3, 7.0)]).until(1.6)
    quiet.playing = Playing(seconds=2.0, is_interruptible=True, is_answerable=True)
    quiet.until(1.7).words("sí")
    assert quiet.decisions == []


def test_our_speech_that_ended_otherwise_ends_its_pause() -> None:
    talk = Talk(sounds=[(1.0, 1.2, 20.0)]).until(1.4)
    talk.barge_in.reset()
    assert not talk.barge_in.is_paused
    assert talk.until(5.0).kinds == [Pause]
