"""The keys of clips, and which texts count as repeated."""

import dataclasses

import pytest

from voice.domain.clips import RecentTexts, SynthesisRequest

HELLO = SynthesisRequest(voice="george", model="flash", settings=("mp3_22050_32", "en"), text="Hello, this is Ada.")


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
        SynthesisRequest(voice="georgeflash", model="", settings=HELLO.settings, text=HELLO.text),
    ],
)
def test_every_audible_difference_makes_another_clip(other: SynthesisRequest) -> None:
    assert other.digest != HELLO.digest


def test_a_digest_has_sixty_four_hexadecimal_digits() -> None:
    assert len(HELLO.digest) == 64
    assert int(HELLO.digest, 16) >= 0


def test_digests_are_those_of_earlier_versions() -> None:
    assert HELLO.digest == "d9756d7bca0f1c0b4af66246f24bab00b7e01055c235eb9e7cad8047f68f9a95"


def test_a_text_repeats_from_the_second_time_on_and_only_recent_ones_count() -> None:
    recent_texts = RecentTexts(max_count=2)
    assert [recent_texts.add(key) for key in ("a", "b", "a", "c", "a", "b")] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
