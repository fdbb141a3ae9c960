"""Phrases are recognized with any case, accents and punctuation of a transcript."""

import pytest

from contracts.plain_words import plain_words


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("I can't come, sorry!", "i can t come sorry"),
        ("¿Después de la SEÑAL?", "despues de la senal"),
        ("  a\n b\t", "a b"),
        ("…", ""),
        ("", ""),
    ],
)
def test_a_transcript_is_reduced_to_its_words(transcript: str, words: str) -> None:
    assert plain_words(transcript) == words
