"""The packed form of personal fields: it is stored, so it must stay readable."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.packing import DICTIONARY, packed, unpacked


@given(text=st.text(max_size=9000))
def test_every_text_is_unpacked_as_it_was(text: str) -> None:
    body = b"{" + text.encode() + b"}"
    assert unpacked(packed(body)) == body


def test_the_dictionary_of_stored_texts_does_not_change() -> None:
    digest = hashlib.sha256(DICTIONARY).hexdigest()
    assert digest == "24bf70f04daed4200dfa937940b38316d684d78fd3763fea427e318d31f6ec27"


@pytest.mark.parametrize("text", ['{"text":"Yes, speaking."}', '{"text":"Sí, soy yo. ¿Para qué llama?"}'])
def test_a_short_sentence_becomes_shorter(text: str) -> None:
    assert len(packed(text.encode())) < len(text.encode())


def test_an_older_build_stored_the_text_itself() -> None:
    assert unpacked(b'{"text":"x"}') == b'{"text":"x"}'


@pytest.mark.parametrize("stored", [b"", b"\x02", b"\x01\xff\xff", b"[]"])
def test_another_form_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"newer build|damaged"):
        unpacked(stored)
