"""The word lists of the turn policy."""

import pytest

from contracts.consumers import CONVERSATION_TURNS
from voice.domain.live.turn_policy import (
    TurnPolicy,
    asks_for_details,
    ends_in_details,
    is_backchannel,
    is_question,
    is_unfinished,
    is_whole_answer,
    turn_over_seconds,
    words_of,
)


@pytest.mark.parametrize("text", ["Ajá.", "mm-hm", "Mm-hm…", "Sí, sí.", "claro", "OK", "Vale.", "Ya."])
def test_backchannels_in_spanish(text: str) -> None:
    assert is_backchannel(text, "es-ES")


@pytest.mark.parametrize("text", ["Uh-huh.", "Yeah, yeah.", "I see.", "mm-hmm", "Right."])
def test_backchannels_in_english(text: str) -> None:
    assert is_backchannel(text, "en")


@pytest.mark.parametrize("text", ["", "No.", "No, espere", "sí pero no", "Claro que no", "¿Qué?"])
def test_what_says_more_is_no_backchannel(text: str) -> None:
    assert not is_backchannel(text, "es")


def test_another_language_has_its_sounds_only() -> None:
    assert is_backchannel("mhm", "pt-BR")
    assert not is_backchannel("claro", "pt-BR")
    assert not is_unfinished("quero mudar e", "pt-BR")


@pytest.mark.parametrize("text", ["Sí", "no.", "Vale", "yes", "Sí, gracias."])
def test_whole_answers(text: str) -> None:
    assert is_whole_answer(text, "en" if text == "yes" else "es")
    assert not is_unfinished(text, "en" if text == "yes" else "es")


def test_an_answer_that_goes_on_is_not_whole() -> None:
    assert not is_whole_answer("Sí,", "es")
    assert is_unfinished("Sí,", "es")


@pytest.mark.parametrize("text", ["612", "uno dos", "mi correo es ana@example.com", "seis uno dos", "b d f"])
def test_details_at_the_end(text: str) -> None:
    assert ends_in_details(text, "es")


@pytest.mark.parametrize("text", ["", "quiero una cita", "no es uno de esos", "tengo 3 hijos y vivo en el campo"])
def test_details_elsewhere_do_not_count(text: str) -> None:
    assert not ends_in_details(text, "es")


@pytest.mark.parametrize(
    ("text", "language", "is_asked"),
    [
        ("¿Me dice su número de teléfono?", "es", True),
        ("¿Qué día le viene bien?", "es", True),
        ("Le llamo por su número de póliza.", "es", False),
        ("¿Todo bien?", "es", False),
        ("What is your e-mail address?", "en", True),
        ("How are you?", "en", False),
    ],
)
def test_questions_for_details(text: str, language: str, is_asked: bool) -> None:
    assert asks_for_details(text, language) is is_asked


def test_a_question_may_be_quoted() -> None:
    assert is_question("¿Cómo?» ")
    assert not is_question("Bien.")


def test_the_silence_stays_within_its_bounds() -> None:
    policy = TurnPolicy(turn_over_after_seconds=1.3, max_turn_over_seconds=1.4)
    assert turn_over_seconds("Pues,", "es", policy) == 1.4
    assert turn_over_seconds("Sí.", "es", TurnPolicy(turn_over_after_seconds=0.36)) == 0.35


def test_words_have_no_punctuation() -> None:
    assert words_of("¡Mm-hm! Sí… ¿O'Neil, 6-1-2?") == ["mm-hm", "sí", "o'neil", "6-1-2"]


def test_a_turn_whose_replica_of_conversation_dies_is_delivered_again_well_before_the_call_ends() -> None:
    assert CONVERSATION_TURNS.ack_wait <= TurnPolicy().unanswered_seconds / 2
    assert CONVERSATION_TURNS.extends_ack_deadline, "a turn may take longer"
