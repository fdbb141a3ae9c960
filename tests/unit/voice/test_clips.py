"""The digest of a clip, and of a line; which lines repeat."""

import dataclasses

import pytest

from voice.domain.clips import Lines, Recipe, line_digest

HELLO = Recipe(voice="george", model="flash", settings=("mp3_22050_32", "en"), text="Hello, this is Ada.")


def test_the_same_words_in_the_same_voice_are_the_same_clip() -> None:
    assert dataclasses.replace(HELLO).digest == HELLO.digest


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(HELLO, voice="sarah"),
        dataclasses.replace(HELLO, model="multilingual"),
        dataclasses.replace(HELLO, settings=("mp3_44100_128", "en")),
        dataclasses.replace(HELLO, settings=("mp3_22050_32", "es")),
        dataclasses.replace(HELLO, text="Hello, this is Eve."),
        Recipe(voice="georgeflash", model="", settings=HELLO.settings, text=HELLO.text),
    ],
)
def test_whatever_can_be_heard_makes_another_clip(other: Recipe) -> None:
    assert other.digest != HELLO.digest


def test_a_digest_is_a_name_of_sixty_four_hexadecimal_digits() -> None:
    assert len(HELLO.digest) == 64
    assert int(HELLO.digest, 16) >= 0


def test_a_line_is_the_same_in_every_voice_and_region_but_not_in_another_language() -> None:
    assert line_digest("es-MX", "Adiós.") == line_digest("es", "Adiós.")
    assert line_digest("en", "Adiós.") != line_digest("es", "Adiós.")
    assert line_digest("es", "Adiós.") != line_digest("es", "Adiós")


def test_a_line_repeats_from_the_second_time_on_and_only_the_latest_are_remembered() -> None:
    lines = Lines(most=2)
    assert [lines.is_repeated(line) for line in ("a", "b", "a", "c", "a", "b")] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
