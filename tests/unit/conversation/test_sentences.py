"""Splitting streamed text into sentences."""

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
def test_a_single_word_is_a_sentence_only_if_it_is_the_whole_text(text: str) -> None:
    sentences = sentences_in(text)
    assert len(sentences) <= 1 or all(len(sentence.split()) > 1 for sentence in sentences)


@pytest.mark.parametrize(
    "marked",
    [
        "Muy bien, gracias. | ¿Podrá venir mañana?",
        "¡Qué bien! | Le espero a las diez.",
        "Sí. Queda anotado. | Muchas gracias.",
        "Gracias por su tiempo. Adiós.",
        "Le atiende el Dr. Ruiz en la Av. Central. | Le espero allí.",
        "Your visit is with Mrs. Smith at 3.30 today. | Is that fine?",
        "La cita es a las 3 p.m. | ¿Le viene bien esa hora?",
        "La cita es a las 3 p.m. del martes. | No lo olvide.",
        "Pregunte por D. Juan o por J. Pérez en recepción. | Muchas gracias.",
        "Traiga su DNI, su tarjeta, etc. | Le esperamos mañana.",
        "A ver... déjeme mirar. | Sí, hay sitio.",
        "Son 12.50 euros en total. | ¿Está de acuerdo?",
        "He said “come in.” | Then we left.",
        "Primera línea sin punto | \nSegunda línea sin punto",
        "Adiós.",
    ],
)
def test_sentences_end_where_a_person_would_end_them(marked: str) -> None:
    assert sentences_in(marked.replace(" | ", " ")) == [sentence.strip() for sentence in marked.split("|")]


def test_white_space_is_not_a_sentence() -> None:
    assert sentences_in("  \n ") == []


def test_a_sentence_is_complete_once_two_words_have_begun_after_it() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Muy bien, gracias. ¿Podrá ") == []
    assert cutter.feed("ve") == ["Muy bien, gracias."]
