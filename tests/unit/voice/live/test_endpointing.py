"""Endpointing in virtual time: commits are early, turns end as their text asks for, and nothing said is lost."""

import random
from dataclasses import dataclass, field

import pytest

from voice.domain.live.endpointing import Commit, Endpointing, Nothing, TranscriberSilent
from voice.domain.live.spoken_turn import TurnOver
from voice.domain.live.turn_policy import TurnPolicy

FRAME_SECONDS = 0.02


@dataclass
class Callee:
    """A callee whose voice and words are known, and a transcriber that answers commits after a delay."""

    endpointing: Endpointing = field(default_factory=lambda: Endpointing("es-MX"))
    speech: list[tuple[float, float, str]] = field(default_factory=list)
    """From, to, and the words."""
    transcription_seconds: float = 0.3
    answers: bool = True
    has_partials: bool = False
    now: float = 0.0
    turns: list[tuple[float, TurnOver]] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)
    _answers: list[tuple[float, str]] = field(default_factory=list)
    _transcribed: int = 0

    def until(self, end: float, *, may_end: bool = True) -> "Callee":
        while self.now < end - 1e-9:
            self.now = round(self.now + FRAME_SECONDS, 6)
            self.endpointing.voiced(self.now, any(start < self.now <= stop for start, stop, _ in self.speech))
            while self._answers and self._answers[0][0] <= self.now:
                self.endpointing.committed(self._answers.pop(0)[1], self.now)
            if self.has_partials:
                self.endpointing.partial(" ".join(self._spoken(self._transcribed)), self.now)
            self._take(self.endpointing.decide(self.now, may_end=may_end))
        return self

    def _spoken(self, first: int) -> list[str]:
        return [text for _, stop, text in self.speech[first:] if stop <= self.now]

    def _take(self, decision: object) -> None:
        match decision:
            case Commit():
                self.commits.append(self.now)
                spoken = self._spoken(self._transcribed)
                self._transcribed += len(spoken)
                if self.answers:
                    self._answers.append((self.now + self.transcription_seconds, " ".join(spoken)))
            case TurnOver():
                self.turns.append((self.now, decision))
            case TranscriberSilent():
                self.silent.append(self.now)
            case _:
                assert decision == Nothing()

    @property
    def texts(self) -> list[str]:
        return [turn.text for _, turn in self.turns]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Quiero cambiar la cita.", 0.5),
        ("¿Quién habla?", 0.38),
        ("Sí.", 0.38),
        ("No", 0.38),
        ("Vale.", 0.38),
        ("Sí, claro.", 0.38),
        ("Quiero cambiar la cita,", 0.9),
        ("Quiero cambiar la cita y", 0.9),
        ("Llame a la", 0.9),
        ("Pues", 0.9),
        ("Mañana por la tarde…", 0.9),
        ("Seis, uno, dos", 1.4),
        ("Es el 612", 1.4),
        ("Be, ce, d, f", 1.4),
        ("Quiero una cita", 0.5),
    ],
)
def test_a_turn_ends_after_the_silence_that_its_text_asks_for(text: str, seconds: float) -> None:
    callee = Callee(speech=[(1.0, 2.0, text)], transcription_seconds=0.1).until(5.0)
    [(at, turn)] = callee.turns
    assert at - 2.0 == pytest.approx(seconds, abs=0.021)
    assert turn.text == text
    assert turn.endpoint_seconds == pytest.approx(seconds, abs=0.021)
    assert turn.spoken_seconds == pytest.approx(1.0, abs=0.05)
    assert turn.transcription_seconds == pytest.approx(0.1, abs=0.021)


@pytest.mark.parametrize("text", ["Yes.", "ok", "No", "Sure, thanks."])
def test_whole_answers_in_english_end_at_once(text: str) -> None:
    callee = Callee(Endpointing("en-US"), [(1.0, 1.4, text)], transcription_seconds=0.1).until(3.0)
    assert callee.turns[0][0] - 1.4 == pytest.approx(0.38, abs=0.021)


def test_a_turn_waits_for_a_transcript_that_is_later_than_the_silence() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita.")], transcription_seconds=0.5).until(5.0)
    assert callee.commits[0] - 2.0 == pytest.approx(0.22, abs=0.021)
    assert callee.turns[0][0] - 2.0 == pytest.approx(0.22 + 0.5, abs=0.041)


def test_a_voice_that_goes_on_right_after_a_commit_between_two_frames_is_transcribed() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar"), (2.22, 3.0, "la cita.")], transcription_seconds=0.1)
    callee.until(2.2)
    endpointing = callee.endpointing
    assert endpointing.decides_at == pytest.approx(2.22)
    assert endpointing.decide(endpointing.decides_at - 0.001) == Nothing()
    callee.now = endpointing.decides_at
    callee._take(endpointing.decide(callee.now))
    assert len(callee.commits) == 1
    callee.until(5.0)
    assert callee.texts == ["Quiero cambiar la cita."]


def test_the_instant_of_the_next_decision_is_known() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita.")], transcription_seconds=0.1).until(2.4)
    assert len(callee.commits) == 1
    assert callee.endpointing.decides_at == pytest.approx(2.5)
    assert callee.endpointing.decide(2.5 - 1e-3) == Nothing()
    assert isinstance(callee.endpointing.decide(2.5 - 1e-9), TurnOver)


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_number_with_a_pause_is_one_turn(is_asked: bool) -> None:
    callee = Callee(speech=[(1.0, 2.2, "Seis, uno, dos"), (3.1, 3.6, "tres")])
    if is_asked:
        callee.endpointing.said("¿Me puede decir su número de teléfono?")
    callee.until(8.0)
    assert callee.texts == ["Seis, uno, dos tres"]
    assert callee.turns[0][1].segments == 2
    assert len(callee.commits) == 2


def test_a_question_for_a_number_makes_us_wait_once() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Espere que lo busco."), (5.0, 6.0, "Gracias por esperar.")])
    callee.endpointing.said("¿Me dice su código postal?")
    callee.until(8.0)
    assert [round(at - stop, 1) for (at, _), (_, stop, _) in zip(callee.turns, callee.speech, strict=True)] == [
        1.4,
        0.5,
    ]


def test_speech_after_a_commit_is_a_segment_of_the_same_turn() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita"), (2.4, 3.0, "del martes.")]).until(6.0)
    assert callee.texts == ["Quiero cambiar la cita del martes."]
    assert callee.turns[0][1].segments == 2


def test_without_a_transcript_the_partial_one_counts() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita.")], answers=False, has_partials=True).until(6.0)
    assert callee.texts == ["Quiero cambiar la cita."]
    assert callee.turns[0][0] - 2.0 == pytest.approx(0.22 + 1.5, abs=0.05)
    assert callee.turns[0][1].transcription_seconds is None
    callee.endpointing.committed("Quiero cambiar la cita.", 6.0)
    assert callee.until(9.0).texts == ["Quiero cambiar la cita."]


def test_a_voice_without_any_text_is_an_empty_turn_and_the_third_means_that_the_transcriber_is_down() -> None:
    callee = Callee(speech=[(at, at + 1.0, "…") for at in (1.0, 6.0, 11.0)], answers=False).until(15.0)
    assert callee.texts == ["", "", ""]
    assert len(callee.silent) == 1
    assert callee.silent[0] == pytest.approx(12.0 + 1.72, abs=0.05)


def test_an_answer_in_between_shows_that_the_transcriber_is_up() -> None:
    callee = Callee(speech=[(1.0, 2.0, "…"), (6.0, 7.0, "…")], answers=False).until(10.0)
    callee.answers = True
    callee.speech.append((11.0, 12.0, "Hola, buenas."))
    callee.until(15.0)
    callee.answers = False
    callee.speech.append((16.0, 17.0, "…"))
    assert callee.until(20.0).silent == []


def test_a_noise_ends_no_turn() -> None:
    callee = Callee(speech=[(1.0, 1.3, "")]).until(4.0)
    assert callee.turns == []
    assert not callee.endpointing.has_spoken


def test_single_voiced_frames_are_no_speech() -> None:
    callee = Callee(speech=[(at / 2, at / 2 + 0.04, "") for at in range(2, 20)]).until(12.0)
    assert callee.commits == []


def test_a_transcript_is_requested_in_silence_every_25_seconds() -> None:
    callee = Callee().until(80.0)
    assert callee.commits == pytest.approx([25.02, 50.02, 75.02], abs=0.05)
    assert callee.turns == []


def test_words_that_come_of_a_commit_in_silence_are_a_turn() -> None:
    callee = Callee().until(25.1)
    callee.endpointing.committed("Hablo muy bajito.", callee.now)
    assert callee.until(27.0).texts == ["Hablo muy bajito."]


def test_words_without_a_voice_count_from_the_second_partial_transcript_on() -> None:
    callee = Callee()
    callee.until(1.0)
    callee.endpointing.partial("hablo muy", 1.0)
    callee.until(1.5)
    assert callee.commits == []
    callee.endpointing.partial("hablo muy bajito", 1.5)
    callee.speech.append((1.2, 1.2, "Hablo muy bajito."))
    assert callee.until(4.0).texts == ["Hablo muy bajito."]


def test_a_throttled_commit_is_repeated_and_later_ones_wait_longer() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita."), (6.0, 7.0, "Hasta luego entonces, señora.")])
    callee.until(2.24)
    assert len(callee.commits) == 1
    callee._answers.clear()
    callee._transcribed = 0
    callee.endpointing.throttled(2.24)
    callee.until(5.0)
    assert callee.commits[1] - 2.24 == pytest.approx(0.3, abs=0.021)
    callee.until(9.0)
    assert callee.commits[2] - 7.0 == pytest.approx(0.28, abs=0.021)
    assert callee.texts == ["Quiero cambiar la cita.", "Hasta luego entonces, señora."]


def test_doubled_transcripts_count_once() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita,"), (3.5, 4.5, "la del martes.")]).until(2.6)
    callee.endpointing.committed("Quiero cambiar la cita,", callee.now)
    callee.until(6.0)
    callee.endpointing.committed("la del martes.", callee.now)
    assert callee.until(9.0).texts == ["Quiero cambiar la cita,", "la del martes."]


def test_while_we_speak_a_turn_does_not_end_and_its_words_are_kept() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita.")]).until(6.0, may_end=False)
    assert callee.turns == []
    assert callee.until(6.02).texts == ["Quiero cambiar la cita."]


def test_discarded_words_do_not_come_back() -> None:
    callee = Callee(speech=[(1.0, 1.5, "Ajá.")], transcription_seconds=1.0, has_partials=True)
    callee.until(1.9, may_end=False)
    callee.endpointing.discard()
    assert callee.until(5.0).turns == []


def test_late_words_after_a_discarded_sound_are_heard() -> None:
    callee = Callee(speech=[(1.0, 1.5, "Espere un momento.")], transcription_seconds=1.5).until(2.5, may_end=False)
    callee.endpointing.discard()
    assert callee.until(6.0).texts == ["Espere un momento."]


def test_a_new_session_of_the_transcriber_keeps_what_was_understood() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita.")], has_partials=True, answers=False).until(2.4)
    callee.endpointing.reopened(callee.now)
    assert callee.until(4.0).texts == ["Quiero cambiar la cita."]
    callee = Callee(speech=[(1.0, 2.0, "Quiero cambiar la cita.")], answers=False).until(2.4)
    callee.endpointing.reopened(callee.now)
    assert callee.until(4.0).texts == [""]


def test_words_of_an_earlier_stream_are_the_first_part_of_the_turn() -> None:
    callee = Callee(speech=[(0.3, 1.5, "me viene bien")])
    callee.endpointing.resume("El martes", 0.0)
    assert (callee.endpointing.has_spoken, callee.endpointing.is_pausing) == (True, True)
    callee.until(1.0)
    assert not callee.endpointing.is_pausing
    callee.until(4.0)
    assert [turn.text for _, turn in callee.turns] == ["El martes me viene bien"]


def test_what_is_unclaimed_are_the_segments_and_the_partial_transcript() -> None:
    callee = Callee(speech=[(0.5, 1.5, "Sí,"), (2.0, 2.3, "a las"), (2.3, 4.0, "diez")], has_partials=True)
    assert callee.endpointing.unclaimed_text == ""
    assert callee.until(2.6).endpointing.unclaimed_text == "Sí, a las"
    callee.until(8.0)
    assert (len(callee.turns), callee.endpointing.unclaimed_text) == (1, "")


def test_nothing_that_is_said_is_lost_or_said_twice() -> None:
    """Random speech, pauses, delays and bounds of the policy: the turns contain each piece once, in order."""
    for seed in range(150):
        generator = random.Random(seed)
        at, speech = 1.0, []
        for number in range(generator.randint(1, 6)):
            length = generator.uniform(0.2, 1.5)
            speech.append((at, at + length, f"pieza{number} dicha{generator.choice(['.', ',', '?', ' y', ''])}"))
            at += length + generator.uniform(0.05, 2.5)
        policy = TurnPolicy(turn_over_after_seconds=generator.uniform(0.35, 1.4))
        callee = Callee(
            Endpointing("es", policy),
            speech,
            transcription_seconds=generator.uniform(0.05, 1.4),
            has_partials=generator.random() < 0.5,
        )
        callee.until(at + 6)
        assert " ".join(callee.texts) == " ".join(text for _, _, text in speech), seed
        for ended, turn in callee.turns:
            assert not any(start + 0.1 < ended <= stop for start, stop, _ in speech), seed
            assert turn.endpoint_seconds + 1e-6 >= 0.35, seed


def test_a_late_transcript_replaces_the_partial_one_while_its_turn_goes_on() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Muchas gracias y")], answers=False, has_partials=True)
    callee.until(3.8, may_end=False)
    callee.endpointing.committed("Muchas gracias, y adiós.", callee.now)
    assert callee.until(6.0).texts == ["Muchas gracias, y adiós."]


def test_words_of_a_late_transcript_that_no_partial_one_had_are_a_turn() -> None:
    callee = Callee(speech=[(1.0, 2.0, "Muchas gracias,")], answers=False, has_partials=True).until(5.0)
    assert callee.texts == ["Muchas gracias,"]
    callee.endpointing.committed("Muchas gracias, adiós.", callee.now)
    assert callee.until(8.0).texts == ["Muchas gracias,", "adiós."]


def test_late_transcripts_of_two_commits_replace_their_partial_one_together() -> None:
    speech = [(1.0, 2.0, "Quiero cambiar"), (2.4, 3.0, "la cita, y")]
    callee = Callee(speech=speech, answers=False, has_partials=True).until(2.5)
    callee.endpointing.partial("Quiero cambiar la", 2.9)
    callee.has_partials = False
    callee.until(4.9, may_end=False)
    callee.endpointing.committed("Quiero cambiar", callee.now)
    callee.endpointing.committed("la cita, y llamar.", callee.now)
    assert callee.until(8.0).texts == ["Quiero cambiar la cita, y llamar."]


@pytest.mark.parametrize("late_seconds", [0.8, 1.4])
def test_a_late_signal_of_attention_is_not_put_before_the_next_turn(late_seconds: float) -> None:
    callee = Callee(speech=[(1.0, 1.4, "Mm-hm."), (3.0, 4.0, "Gracias, adiós.")], transcription_seconds=late_seconds)
    callee.until(2.3, may_end=False)
    callee.endpointing.discard()
    assert callee.until(8.0).texts == ["Gracias, adiós."]


def test_a_discarded_sound_whose_commit_was_refused_is_committed_apart() -> None:
    callee = Callee(speech=[(1.0, 1.3, "Mm-hm."), (3.0, 4.0, "Gracias, adiós.")]).until(1.53, may_end=False)
    callee._answers.clear()
    callee._transcribed = 0
    callee.endpointing.throttled(callee.now)
    callee.endpointing.discard()
    assert callee.until(8.0).texts == ["Gracias, adiós."]
    assert len(callee.commits) == 3


def test_the_same_words_in_a_late_transcript_answer_their_own_commit() -> None:
    callee = Callee(speech=[(1.0, 1.4, "Sí."), (3.4, 3.8, "Sí.")], has_partials=True).until(3.0)
    callee.answers = False
    assert callee.until(6.0).texts == ["Sí.", "Sí."]
    callee.endpointing.committed("Sí.", callee.now)
    callee.answers = True
    callee.speech.append((7.0, 8.0, "Hasta luego, señora."))
    assert callee.until(10.0).texts == ["Sí.", "Sí.", "Hasta luego, señora."]
    assert callee.turns[-1][1].transcription_seconds == pytest.approx(0.3, abs=0.03)
