"""The rate of audio by its first bytes, and connection overrides."""

import lameenc  # type: ignore[import-not-found]
import pytest

from simulators.twilio.audio_rate import bytes_per_second
from simulators.twilio.connection_overrides import split_overrides


@pytest.mark.parametrize(("rate", "kilobits"), [(22050, 32), (44100, 64), (44100, 128)])
def test_the_rate_of_an_mp3_matches_the_length_of_its_samples(rate: int, kilobits: int) -> None:
    encoder = lameenc.Encoder()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(rate)
    encoder.set_bit_rate(kilobits)
    encoder.silence()
    mp3 = bytes(encoder.encode(bytes(2 * rate * 10))) + bytes(encoder.flush())
    assert len(mp3) / bytes_per_second(mp3[:4096], "audio/mpeg") == pytest.approx(10, rel=0.05)


def test_an_id3_tag_is_skipped_before_the_first_frame() -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x04" + b"\xff\xfb\x90\x00"
    assert bytes_per_second(tag + b"\xff\xf3\x40\x00", "audio/mpeg") == 32_000 / 8


def test_the_rate_of_a_wave_is_in_its_header() -> None:
    head = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(12) + (32_000).to_bytes(4, "little")
    assert bytes_per_second(head, "audio/wav") == 32_000


def test_telephone_audio_has_8000_bytes_per_second() -> None:
    assert bytes_per_second(bytes(100), "audio/basic") == 8000


def test_connection_overrides_are_clamped() -> None:
    bare, overrides = split_overrides("http://example.com/a?b=c#rc=9&rt=1&ct=x&rp=all")
    assert bare == "http://example.com/a?b=c"
    assert (overrides.retries, overrides.read_timeout, overrides.connect_timeout) == (5, 0.1, 5.0)
    assert overrides.retries_after("4xx")


def test_only_a_failure_to_connect_is_retried_by_default() -> None:
    _, overrides = split_overrides("http://example.com/")
    assert [kind for kind in ("ct", "rt", "4xx", "5xx") if overrides.retries_after(kind)] == ["ct"]
