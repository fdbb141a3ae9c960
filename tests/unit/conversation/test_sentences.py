"""Splitting streamed text into sentences."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conversation.domain.sentences import SentenceCutter

_WORDS = st.sampled_from(
    ["hola", "Sí", "no", "3.5", "10", "Sr", "p.m", "EE.UU", "etc", "m", "¿Podrá", "venir", "¡Qué", "bien", "«Ya»", "…"]
)
_MARKS = st.sampled_from(["", "", "", ".", "?", "!", "...", "…", ",", '."', "?)", ".»"])
_GAPS = st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", ""])
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.tuples(_WORDS, _MARKS, _GAPS), max_size=25).map(lambda parts: "".join(map("".join, parts))),
)


def sentences_in(*pieces: str) -> list[str]:
    cutter = SentenceCutter()
    return [sentence for piece in pieces for sentence in cutter.feed(piece)] + cutter.flush()


def split(text: str, positions: list[int]) -> list[str]:
    ends = sorted({position % (len(text) + 1) for position in positions})
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


@given(texts, st.lists(st.integers(min_value=0), max_size=30))
@example("Sí. A las 3.5 p. m. ¿Le va bien, Sr. García? ¡Gracias! Adiós.", list(range(60)))
def test_the_sentences_contain_the_whole_text_in_order(text: str, positions: list[int]) -> None:
    sentences = sentences_in(*split(text, positions))
    assert "".join("".join(sentences).split()) == "".join(text.split())


@given(texts, st.lists(st.integers(min_value=0), max_size=30))
def test_the_sentences_do_not_depend_on_how_the_stream_is_split(text: str, positions: list[int]) -> None:
    assert sentences_in(*split(text, positions)) == sentences_in(text) == sentences_in(*text)


@given(texts)
def test_a_single_word_is_a_sentence_only_at_the_end_of_a_text_after_the_first_sentence(text: str) -> None:
    sentences = sentences_in(text)
    assert all(len(sentence.split()) > 1 for sentence in sentences[:-1])
    assert len(sentences) <= 2 or len(sentences[-1].split()) > 1


@given(texts, texts)
def test_what_follows_does_not_change_a_sentence_that_was_cut(text: str, following: str) -> None:
    cutter = SentenceCutter()
    cut = cutter.feed(text)
    assert sentences_in(text + following)[: len(cut)] == cut


@pytest.mark.parametrize(
    "marked",
    [
        "Muy bien, gracias. | ¿Podrá venir mañana?",
        "¡Qué bien! | Le espero a las diez.",
        "Sí. Queda anotado. | Muchas gracias.",
        "Gracias por su tiempo. | Adiós.",
        "Lo entiendo, claro. | No volveremos a llamarle. Adiós.",
        "Muy bien, gracias. | ¿Sí? Dígame una hora. | La que quiera.",
        "Le atiende el Dr. Ruiz en la Av. Central. | Le espero allí.",
        "Your visit is with Mrs. Smith at 3.30 today. | Is that fine?",
        "La cita es a las 3 p.m. | ¿Le viene bien esa hora?",
        "La cita es a las 3 p.m. del martes. | No lo olvide.",
        "Pregunte por D. Juan o por J. Pérez en recepción. | Muchas gracias.",
        "Traiga su DNI, su tarjeta, etc. | Le esperamos mañana.",
        "A ver... déjeme mirar. | Sí, hay sitio.",
        "Son 12.50 euros en total. | ¿Está de acuerdo?",
        "He said “come in.” | Then we left.",
        "¡Ya está! | pero espere un momento.",
        "Un momento… déjeme ver. | Aquí está…  | Son las diez.",
        "Primera línea sin punto | \nSegunda línea sin punto",
        "Adiós.",
    ],
)
def test_sentences_end_where_a_person_would_end_them(marked: str) -> None:
    assert sentences_in(marked.replace(" | ", " ")) == [sentence.strip() for sentence in marked.split("|")]


def test_white_space_is_not_a_sentence() -> None:
    assert sentences_in("  \n ") == []


@pytest.mark.parametrize(
    ("before", "completing"),
    [
        ("¿Podrá venir mañana?", " "),
        ("¡Muy bien!", " "),
        ("Primera línea", "\n"),
        ("Muy bien, gracias.", " ¿"),
        ("Muy bien, gracias…", " L"),
        ("La cita es a las 3.", " L"),
    ],
)
def test_the_first_sentence_is_complete_as_soon_as_its_end_is_certain(before: str, completing: str) -> None:
    cutter = SentenceCutter()
    assert cutter.feed(before) == cutter.feed(completing[:-1]) == []
    assert cutter.feed(completing[-1]) == [before]


def test_a_later_sentence_is_complete_once_two_words_have_begun_after_it() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Muy bien, gracias. ¿Podrá venir mañana? Si ") == ["Muy bien, gracias."]
    assert cutter.feed("n") == ["¿Podrá venir mañana?"]


def test_a_single_word_begins_the_next_sentence() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("¡Claro! Dígame. ") == []
    assert cutter.feed("A") == ["¡Claro! Dígame."]


class CountedText(str):
    """A text that counts the characters of the texts that are made from it."""

    __slots__ = ()
    copied = 0

    @classmethod
    def _counted(cls, text: str) -> "CountedText":
        cls.copied += len(text)
        return cls(text)

    def __add__(self, other: str) -> "CountedText":
        return self._counted(super().__add__(other))

    def __radd__(self, other: str) -> "CountedText":
        return self._counted(other + str(self))

    def __getitem__(self, key: Any) -> "CountedText":
        return self._counted(super().__getitem__(key))


def copied_characters(text: str, piece_length: int) -> int:
    """Returns how many characters are copied to cut a text that arrives in pieces."""
    CountedText.copied = 0
    cutter = SentenceCutter()
    for start in range(0, len(text), piece_length):
        cutter.feed(CountedText(text[start : start + piece_length]))
    return CountedText.copied


@pytest.mark.parametrize("unit", ["1. ", "¿Sí? ", "Hola, Sr. ", "Muy bien. Sí. ", "a", ".", " ", "word "])
@pytest.mark.parametrize("piece_length", [3, 1_000_000])
def test_a_text_of_four_times_the_length_costs_four_times_the_work(unit: str, piece_length: int) -> None:
    short, long = (copied_characters(unit * repetitions, piece_length) for repetitions in (50, 200))
    assert long <= 4 * short + 4 * len(unit)
