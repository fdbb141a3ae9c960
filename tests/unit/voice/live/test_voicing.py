"""Voicing: mu-law is decoded as in G.711, and a voice is what sounds like one and is louder than the line."""

import math
import random
import struct
from bisect import bisect_left
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voice.adapters.voice_activity import WebRtcVoiceActivity
from voice.domain.live.voicing import VoicedWindow, Voicing, level_of, linear

FRAME = 160
SAMPLES = sorted((struct.unpack("<h", linear(bytes([byte])))[0], byte) for byte in range(256))
VALUES = [value for value, _ in SAMPLES]


def mu_law(samples: list[float]) -> bytes:
    return bytes(SAMPLES[min(bisect_left(VALUES, sample), 255)][1] for sample in samples)


def frames(samples: list[float]) -> Iterator[bytes]:
    audio = mu_law(samples)
    yield from (audio[start : start + FRAME] for start in range(0, len(audio) - FRAME + 1, FRAME))


def noise(seconds: float, amplitude: float, seed: int = 1) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(0, amplitude) for _ in range(round(seconds * 8000))]


def vowel(seconds: float, amplitude: float) -> list[float]:
    """Returns an “a”: harmonics of 120 Hz with formants at 700 and 1,200 Hz."""
    weights = [
        (number * 120, sum(1 / (1 + ((number * 120 - formant) / 110) ** 2) for formant in (700, 1200)))
        for number in range(1, 28)
    ]
    return [
        amplitude * sum(weight * math.sin(2 * math.pi * hertz * index / 8000) for hertz, weight in weights)
        for index in range(round(seconds * 8000))
    ]


class Always:
    """A detector that takes everything for a voice."""

    def is_voiced(self, frame: bytes) -> bool:
        return len(frame) == FRAME


@pytest.mark.parametrize(
    ("byte", "sample"),
    [
        (0xFF, 0),
        (0x7F, 0),
        (0x80, 32124),
        (0x00, -32124),
        (0xFE, 8),
        (0x7E, -8),
        (0xF0, 120),
        (0xEF, 132),
        (0xA0, 7932),
    ],
)
def test_mu_law_is_decoded_as_in_g_711(byte: int, sample: int) -> None:
    assert struct.unpack("<h", linear(bytes([byte]))) == (sample,)


def test_the_level_is_that_of_the_mean_magnitude() -> None:
    assert level_of(bytes([0xFF]) * FRAME) == 0.0
    assert level_of(bytes([0x80, 0x00]) * 80) == pytest.approx(20 * math.log10(32124))
    assert level_of(bytes([0xEF]) * FRAME) == pytest.approx(20 * math.log10(132))


@given(st.binary(min_size=1, max_size=300))
@example(bytes(256))
@example(bytes([0x80]) * 257)
def test_the_level_is_that_of_the_mean_magnitude_for_any_samples(audio: bytes) -> None:
    samples = struct.unpack(f"<{len(audio)}h", linear(audio))
    mean = sum(abs(sample) for sample in samples) / len(samples)
    assert level_of(audio) == pytest.approx(20 * math.log10(mean) if mean > 1 else 0.0)


def test_the_noise_floor_follows_the_line_and_a_voice_does_not_raise_it() -> None:
    voicing = Voicing(Always())
    for frame in frames(noise(4, 200)):
        voicing.judge(frame)
    floor = voicing.noise_decibels
    assert 20 * math.log10(200) - 6 < floor < 20 * math.log10(200)
    speech = [*vowel(0.6, 3000), *noise(0.2, 200)] * 5
    loud = [voicing.judge(frame) for frame in frames(speech)]
    assert abs(voicing.noise_decibels - floor) < 3
    assert sum(voice.is_voiced for voice in loud) > 100
    assert max(voice.decibels_above_noise for voice in loud) > 20
    louder = [voicing.judge(frame).is_voiced for frame in frames(noise(8, 900))]
    assert not any(louder[-100:])


def test_digital_silence_does_not_make_every_sound_a_voice() -> None:
    voicing = Voicing(Always())
    for _ in range(300):
        voicing.judge(bytes([0xFF]) * FRAME)
    assert not any(voicing.judge(frame).is_voiced for frame in frames(noise(1, 30)))


def test_the_detector_hears_a_voice_and_neither_silence_nor_steady_noise() -> None:
    voicing = Voicing(WebRtcVoiceActivity())
    quiet = [voicing.judge(frame).is_voiced for frame in frames(noise(4, 100))]
    assert sum(quiet[50:]) < 5
    spoken = [voicing.judge(frame).is_voiced for frame in frames(vowel(0.5, 2500))]
    assert sum(spoken) > 20
    assert not any(voicing.judge(bytes([0xFF]) * FRAME).is_voiced for _ in range(50))


def test_three_of_five_frames_are_enough() -> None:
    window = VoicedWindow(3, 5)
    assert [window.add(is_voiced) for is_voiced in (True, False, True, False, True, False, False, True)] == [
        False,
        False,
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    window.reset()
    assert [window.add(True) for _ in range(3)] == [False, False, True]
