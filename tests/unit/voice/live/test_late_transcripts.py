"""Transcripts that come late: what of them is new."""

import pytest

from voice.domain.live.late_transcripts import LateTranscripts, is_alike, words_beyond


@pytest.mark.parametrize(
    ("text", "known", "beyond"),
    [
        ("Thank you, goodbye.", "Thank you,", "goodbye."),
        ("Thank you, goodbye.", "thank you goodbye", ""),
        ("Quiero cambiar la cita", "quiero cambiar la sita", ""),
        ("Quiero cambiar la cita del martes.", "quiero cambiar la sita", "del martes."),
        ("Sí.", "Sí, claro.", ""),
        ("¿Me oye?", "", "Me oye?"),
        ("…", "nada", ""),
    ],
)
def test_the_words_beyond_the_known_ones_are_new(text: str, known: str, beyond: str) -> None:
    assert words_beyond(text, known) == beyond


def test_a_text_is_alike_if_most_of_its_words_are_known() -> None:
    assert is_alike("Thank you, goodbye.", "thank you")
    assert not is_alike("Something else entirely, please.", "thank you")
    assert not is_alike("Anything", "")


def test_a_transcript_of_other_words_answers_a_later_commit() -> None:
    late = LateTranscripts("en")
    late.abandon(1, "thank you", ["thank you"], is_discarded=False)
    assert late.take("What time is it?", []) is None
    assert not late


def test_a_refused_commit_is_not_awaited() -> None:
    late = LateTranscripts("en")
    late.abandon(2, "", [], is_discarded=True)
    late.refused()
    assert late
    late.refused()
    late.refused()
    assert not late
