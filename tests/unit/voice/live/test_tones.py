"""The tones of keys, decoded by an independent algorithm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.key_tones import keys_in

from voice.domain.live.media_stream import MU_LAW_SILENCE
from voice.domain.live.tones import FREQUENCIES, PAUSE_SECONDS, RATE, TONE_SECONDS, WAIT, WAIT_SECONDS, tones_of


@pytest.mark.parametrize("key", FREQUENCIES)
def test_each_key_is_recognized(key: str) -> None:
    assert keys_in(tones_of(key)) == key


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="0123456789*#w", min_size=1, max_size=32))
def test_digits_are_recognized_in_their_order_and_last_as_long_as_they_say(digits: str) -> None:
    audio = tones_of(digits)
    assert keys_in(audio) == digits.replace(WAIT, "")
    waits = digits.count(WAIT)
    seconds = (len(digits) - waits) * (TONE_SECONDS + PAUSE_SECONDS) + waits * WAIT_SECONDS
    assert len(audio) == round(seconds * RATE)


def test_a_wait_is_silence() -> None:
    assert set(tones_of("w")) == {MU_LAW_SILENCE}


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(KeyError):
        tones_of("A")
