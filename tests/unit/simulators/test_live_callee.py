"""Callees on a media stream: when they speak, what a transcriber understands, and the sounds that are no words."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from simulators import mu_law
from simulators.mu_law import FRAME_SECONDS, SILENCE
from simulators.spoken_words import SpokenWords, WordListener
from simulators.tone_speech import speak
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.callee_sounds import CalleeSettings, Pause, read_pauses
from simulators.twilio.callee_speech import synthesize
from simulators.twilio.callees import Behaviour, Callee
from simulators.twilio.live_callee import PATIENCE_SECONDS, CalleeFrame, LiveCallee

VOICE = mu_law.encode(b"".join(speak("a" * 20, "agent", mu_law.RATE)))[:160]


class Line:
    """A line without a network: `hear` passes frames of the agent, None is silence."""

    def __init__(self, behaviour: Behaviour = Behaviour.HUMAN, **settings: Any) -> None:
        self.callee = Callee(behaviour, random.Random("line"), settings=CalleeSettings(**settings))
        self.words = SpokenWords()
        self.live = LiveCallee(self.callee, self.callee.settings.language or "es", "callee-1", self.words)
        self.sent: list[CalleeFrame] = []

    def hear(self, seconds: float, frame: bytes | None = None) -> None:
        for _ in range(round(seconds / FRAME_SECONDS)):
            self.sent.append(self.live.exchange(frame))

    def hear_until(
        self, condition: Callable[[], bool], frame: bytes | None = None, limit_seconds: float = 60.0
    ) -> None:
        for _ in range(round(limit_seconds / FRAME_SECONDS)):
            if condition():
                return
            self.hear(FRAME_SECONDS, frame)
        raise AssertionError("the callee did not do it")

    def hear_utterance(self) -> None:
        """Is silent until the callee has said its next utterance to the end."""
        count = len(self.sounds)
        self.hear_until(lambda: len(self.sounds) > count)
        self.hear(self.sounds[-1].seconds - FRAME_SECONDS)

    @property
    def sounds(self) -> list[Any]:
        return [frame.sound for frame in self.sent if frame.sound is not None]

    @property
    def audio(self) -> bytes:
        return b"".join(frame.audio for frame in self.sent)

    @property
    def transcript(self) -> str:
        return " ".join(word.text for word in WordListener(self.words).listen(self.audio))


def test_the_callee_answers_after_its_delay() -> None:
    line = Line(phrases=("Sí, soy yo.",), delay_seconds=0.5)
    line.hear(2.0, VOICE)
    assert line.sounds == []
    line.hear(0.48)
    assert line.sounds == []
    line.hear(0.02)
    assert [sound.text for sound in line.sounds] == ["Sí, soy yo."]
    line.hear(2.0)
    assert line.transcript == "Sí, soy yo."


def test_a_gap_in_the_reply_shorter_than_the_delay_is_no_end() -> None:
    line = Line(phrases=("Sí.",), delay_seconds=0.6)
    for _ in range(4):
        line.hear(0.5, VOICE)
        line.hear(0.5)
    assert line.sounds == []
    line.hear(0.3)
    assert len(line.sounds) == 1


def test_silent_frames_that_are_played_become_silence_after_a_second() -> None:
    line = Line(phrases=("Sí.",), delay_seconds=0.5)
    line.hear(1.0, VOICE)
    line.hear(1.4, SILENCE)
    assert line.sounds == []
    line.hear(0.2, SILENCE)
    assert len(line.sounds) == 1


def test_a_callee_that_hears_nothing_loses_patience() -> None:
    line = Line(phrases=("¿Hola?",))
    line.hear(PATIENCE_SECONDS - 0.1)
    assert line.sounds == []
    line.hear(0.2)
    assert [sound.text for sound in line.sounds] == ["¿Hola?"]


def test_an_interrupting_callee_speaks_into_the_reply() -> None:
    line = Line(Behaviour.INTERRUPTS, at_seconds=1.2, phrases=("Sí.", "Espere, por favor.", "Adiós."))
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear(1.18, VOICE)
    assert len(line.sounds) == 1
    line.hear(0.02, VOICE)
    assert line.sounds[1].text == "Espere, por favor."
    assert line.sounds[1].is_over_agent


def test_a_reply_that_goes_on_after_the_interruption_is_no_answer_to_it() -> None:
    line = Line(Behaviour.INTERRUPTS, at_seconds=1.2, phrases=("Sí.", "No.", "Adiós."), delay_seconds=0.4)
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear_until(lambda: len(line.sounds) == 2, VOICE)
    line.hear(line.sounds[1].seconds + 0.3, VOICE)
    line.hear(2.0)  # the agent thinks
    assert len(line.sounds) == 2
    line.hear(1.2, VOICE)
    assert line.sounds[2].text == "Adiós."


def test_backchannels_and_coughs_do_not_take_the_turn() -> None:
    for behaviour, text in ((Behaviour.BACKCHANNELS, ("Ajá.", "Mm-hm.", "Sí, sí.")), (Behaviour.COUGHS, ("",))):
        line = Line(behaviour, at_seconds=1.0, phrases=("Sí.", "Claro."), delay_seconds=0.4)
        line.hear(1.0, VOICE)
        line.hear_utterance()
        line.hear(3.0, VOICE)
        assert line.sounds[1].text in text
        assert line.sounds[1].is_over_agent
        line.hear_utterance()
        assert line.sounds[2].text == "Claro."
        assert line.transcript == " ".join(["Sí.", line.sounds[1].text, "Claro."]).replace("  ", " ")


@pytest.mark.parametrize("behaviour", [Behaviour.BACKCHANNELS, Behaviour.COUGHS])
def test_an_agent_that_pauses_because_of_an_interjection_may_go_on(behaviour: Behaviour) -> None:
    line = Line(behaviour, at_seconds=1.0, phrases=("Sí.", "Claro."), delay_seconds=0.4)
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear_until(lambda: len(line.sounds) == 2, VOICE)
    line.hear(0.1, VOICE)
    line.hear(line.sounds[1].seconds + 1.0)
    line.hear(2.0, VOICE)
    assert len(line.sounds) == 2
    line.hear(0.5)
    assert line.sounds[2].text == "Claro."


@pytest.mark.parametrize("behaviour", [Behaviour.BACKCHANNELS, Behaviour.COUGHS])
def test_an_agent_that_does_not_go_on_is_answered(behaviour: Behaviour) -> None:
    line = Line(behaviour, at_seconds=1.0, phrases=("Sí.", "Claro."), delay_seconds=0.4)
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear_until(lambda: len(line.sounds) == 2, VOICE)
    line.hear(line.sounds[1].seconds + 2.4)
    assert len(line.sounds) == 2
    line.hear(1.0)
    assert line.sounds[2].text == "Claro."


def test_a_cough_is_louder_than_the_noise_floor() -> None:
    line = Line(Behaviour.COUGHS, at_seconds=1.0, phrases=("Sí.", "Claro."))
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear_until(lambda: len(line.sounds) == 2, VOICE)
    samples = mu_law.decode(line.sent[-1].audio)
    assert max(map(abs, samples)) > 4000


def test_a_number_with_a_pause_is_one_utterance() -> None:
    line = Line(Behaviour.DICTATES, delay_seconds=0.4)
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear(1.0, VOICE)
    before = len(line.audio)
    line.hear_utterance()
    utterance = line.audio[before:]
    assert line.sounds[1].text == "Es el seis, uno, dos, tres, cuatro."
    assert SILENCE * 45 in utterance.strip(b"\xff")
    assert line.transcript.endswith("Es el seis, uno, dos, tres, cuatro.")


def test_a_callee_hangs_up_in_the_middle_of_its_utterance() -> None:
    line = Line(Behaviour.HANGS_UP_SPEAKING, phrases=("Sí.", "Mañana a las diez no me viene bien."), delay_seconds=0.4)
    line.hear(1.0, VOICE)
    line.hear_utterance()
    line.hear(1.0, VOICE)
    with pytest.raises(CallEnded):
        line.hear(20.0)
    assert line.transcript == "Sí. " + line.sounds[1].text
    assert "Mañana a las diez no me viene bien.".startswith(line.sounds[1].text + " ")


def test_a_key_is_pressed_once_during_the_first_reply() -> None:
    line = Line(Behaviour.PRESSES_KEY, at_seconds=1.0)
    line.hear(3.0, VOICE)
    keys = [number for number, frame in enumerate(line.sent) if frame.key is not None]
    assert keys == [49]
    line.hear(1.0)
    line.hear(3.0, VOICE)
    assert len([frame for frame in line.sent if frame.key is not None]) == 1


def test_a_machine_speaks_at_once() -> None:
    line = Line(Behaviour.VOICEMAIL)
    line.hear(0.02)
    assert len(line.sounds) == 1


def test_a_silent_callee_hangs_up_after_four_silent_turns() -> None:
    line = Line(Behaviour.SILENT)
    for _ in range(3):
        line.hear(1.0, VOICE)
        line.hear(5.02)
    line.hear(1.0, VOICE)
    with pytest.raises(CallEnded):
        line.hear(5.02)


def test_the_echo_of_the_agent_is_twenty_decibels_lower() -> None:
    line = Line(echo_decibels=-20.0, phrases=("Sí, soy yo.",), delay_seconds=0.4)
    line.hear(1.0, VOICE)
    loud = max(map(abs, mu_law.decode(VOICE)))
    echo = max(map(abs, mu_law.decode(line.sent[-1].audio)))
    assert loud / 12 < echo < loud / 8
    line.hear_until(lambda: bool(line.sounds))
    line.hear(3.0, VOICE)
    assert line.transcript == "Sí, soy yo."  # also while the echo is mixed in


def test_words_of_the_time_between_two_streams_are_lost() -> None:
    line = Line(phrases=("uno dos tres cuatro cinco seis siete ocho",), delay_seconds=0.4)
    line.hear(1.0, VOICE)
    line.hear_until(lambda: bool(line.sounds))
    line.hear(0.5)
    line.live.skip(1.0)
    line.hear(4.0)
    words = line.transcript.split()
    assert words[0] == "uno"
    assert words[-1] == "ocho"
    assert 3 < len(words) < 8


def test_an_utterance_that_began_without_a_stream_is_known_if_its_rest_is_heard() -> None:
    text = "uno dos tres cuatro cinco seis siete ocho."
    line = Line(phrases=(text, "nueve."), delay_seconds=1.0)
    line.hear(1.0, VOICE)
    sound = line.live.skip(2.0)
    assert sound is not None
    assert sound.text == text
    line.hear(4.0)
    assert line.transcript.split()[-1] == "ocho."
    other = Line(phrases=(text, "nueve."), delay_seconds=1.0)
    other.hear(1.0, VOICE)
    assert other.live.skip(1.0 + sound.seconds + 1.0) is None, "it is lost as a whole"


def test_an_utterance_that_has_not_begun_is_said_in_the_turn_based_call() -> None:
    line = Line(phrases=("Primero.", "Segundo."))
    line.hear(0.5, VOICE)
    line.live.leave()
    texts = [utterance.text for _ in range(2) if (utterance := line.callee.next_utterance("es")) is not None]
    assert texts == ["Primero.", "Segundo."]


def test_the_same_text_in_two_calls_is_two_utterances() -> None:
    speech = synthesize("Sí, soy yo.", (), "callee-1")
    assert [word.text for word in speech.words] == ["Sí,", "soy", "yo."]
    assert speech.frames[0] != SILENCE
    assert speech.frames[-1] != SILENCE


def test_pauses_are_read_from_a_phrase() -> None:
    assert read_pauses("Seis, uno, [0.9] dos.") == ("Seis, uno, dos.", (Pause(11, 0.9),))
    assert read_pauses("Seis.") == ("Seis.", ())
    speech = synthesize("Seis, dos.", (Pause(6, 0.9),), "callee-1")
    without = synthesize("Seis, dos.", (), "callee-1")
    assert speech.seconds == pytest.approx(without.seconds + 0.9, abs=0.03)
