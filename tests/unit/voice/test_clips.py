"""The names of clips, which texts count as repeated, and which are personal."""

import dataclasses

import pytest
from tests.builders.calls import a_call

from contracts import VoicemailPolicy
from contracts.phrases import greeting_of, message_of
from voice.domain.clips import RecentTexts, SynthesisRequest, is_personal

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


def test_a_text_repeats_when_another_person_heard_it_and_only_recent_ones_count() -> None:
    recent_texts, persons = RecentTexts(max_count=2), map("{:032x}".format, range(6))
    assert [recent_texts.add(text, person) for text, person in zip("abacab", persons, strict=True)] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_text_that_one_person_hears_repeatedly_may_be_about_that_person() -> None:
    recent_texts = RecentTexts()
    assert [recent_texts.add("Is your doctor Ferrán?", "ab" * 16) for _ in range(3)] == [False, False, False]


@pytest.mark.parametrize(
    ("text", "is_about_callee"),
    [
        ("Hello Al, this is the clinic.", True),
        ("We call from Springfield about Monday.", False),
        ("Could you say that again?", False),
        ("See you on Monday, Álvarez.", True),
        ("Then at 10.", True),
    ],
)
def test_a_sentence_with_values_of_variables_is_personal(text: str, is_about_callee: bool) -> None:
    call = a_call(
        script_template="Hello {{name}}, this is the clinic.\n\nConfirm {{time}}.",
        voicemail=VoicemailPolicy(message="We call from Springfield about Monday."),
        variables={"name": "Al", "surname": "Alvarez", "time": "10", "town": "Springfield"},
    )
    assert is_personal(text, call) is is_about_callee


@pytest.mark.parametrize(("template", "is_about_callee"), [("Hello {{name}}.", True), ("Hello.", False)])
def test_a_greeting_with_variables_is_personal_also_after_a_disclosure_and_with_a_short_name(
    template: str, is_about_callee: bool
) -> None:
    call = a_call(script_template=template, variables={"name": "Li"}, company="Acme")
    assert is_personal(greeting_of(call), call) is is_about_callee
    machine = call.model_copy(update={"voicemail": VoicemailPolicy(message=template)})
    assert is_personal(message_of(machine) or "", machine) is is_about_callee
