"""Whether a frame of the callee's audio contains a voice: a detector's answer, and an energy above the line's noise.

The detector (webrtcvad) knows what a voice sounds like, the energy knows how loud this line is while its callee is
silent. Both must agree. The noise floor is a slow minimum (R. Martin, "Noise power spectral density estimation based on
optimal smoothing and minimum statistics", 2001, in its simplest form): speech has pauses, so the minimum of the last
seconds is the noise.
"""

import math
from collections import deque
from typing import NamedTuple, Protocol
from zlib import adler32

SPEECH_MARGIN_DECIBELS = 6.0
MIN_NOISE_DECIBELS = 26.0
"""The lowest noise floor: a mean magnitude of 20 of 32,768. Lines that send digital silence between words are below."""
MAX_NOISE_DECIBELS = 62.0
"""The highest one: a mean magnitude of 1,260. A voice of usual level is above it."""
_WINDOW_FRAMES = 75
"""The minimum is taken over the last 1.5 to 3 seconds."""
_SMOOTHING = 0.25
_MAX_ADLER_BYTES = 256


def _decoded(byte: int) -> int:
    """Returns the sample of a mu-law byte (ITU-T G.711, table 2a), of 16 bits with sign."""
    complement = ~byte & 0xFF
    magnitude = (((complement & 0x0F) << 3) + 0x84 << ((complement & 0x70) >> 4)) - 0x84
    return -magnitude if complement & 0x80 else magnitude


_SAMPLES = [_decoded(byte) for byte in range(256)]
_LOW_BYTES = bytes(sample & 0xFF for sample in _SAMPLES)
_HIGH_BYTES = bytes(sample >> 8 & 0xFF for sample in _SAMPLES)
_LOW_MAGNITUDES = bytes(abs(sample) & 0xFF for sample in _SAMPLES)
_HIGH_MAGNITUDES = bytes(abs(sample) >> 8 for sample in _SAMPLES)


def linear(frame: bytes) -> bytes:
    """Returns mu-law samples (ITU-T G.711) as 16-bit signed samples, little-endian: two bytes a sample."""
    samples = bytearray(2 * len(frame))
    samples[0::2] = frame.translate(_LOW_BYTES)
    samples[1::2] = frame.translate(_HIGH_BYTES)
    return bytes(samples)


def level_of(frame: bytes) -> float:
    """Returns the level of a frame in decibels: 20 log10 of the mean magnitude of its samples, 0 for silence.

    The mean magnitude stands for the energy: two table look-ups by `translate` cost 2 µs, squares cost 10.
    """
    total = _sum(frame.translate(_LOW_MAGNITUDES)) + 256 * _sum(frame.translate(_HIGH_MAGNITUDES))
    return 20 * math.log10(total / len(frame)) if total > len(frame) else 0.0


def _sum(magnitudes: bytes) -> int:
    """Returns the sum of bytes.

    The lower half of Adler-32 (RFC 1950) is that sum and 1, modulo 65,521: exact for 256 bytes, at a tenth of the cost.
    """
    return (adler32(magnitudes) & 0xFFFF) - 1 if len(magnitudes) <= _MAX_ADLER_BYTES else sum(magnitudes)


class VoiceActivity(Protocol):
    """Detects voices."""

    def is_voiced(self, frame: bytes) -> bool:
        """Returns whether a frame of 20 ms (160 bytes of mu-law) sounds like a voice. Frames are given in order."""


class Voice(NamedTuple):
    """What is known of one frame. `decibels_above_noise` is its level above the noise floor of the line."""

    is_voiced: bool
    decibels_above_noise: float


class Voicing:
    """Judges the frames of one line, in order."""

    def __init__(self, activity: VoiceActivity) -> None:
        self._activity = activity
        self._smoothed = MIN_NOISE_DECIBELS
        self._minimum = math.inf
        self._previous_minimum = math.inf
        self._frames = 0

    @property
    def noise_decibels(self) -> float:
        """The noise floor of the line; the lowest one until 1.5 seconds were heard."""
        floor = min(self._minimum, self._previous_minimum) if self._previous_minimum < math.inf else 0.0
        return min(max(floor, MIN_NOISE_DECIBELS), MAX_NOISE_DECIBELS)

    def judge(self, frame: bytes) -> Voice:
        """Returns whether a frame of 20 ms is voiced: by the detector, and more than 6 dB above the noise floor."""
        level = level_of(frame)
        above = level - self.noise_decibels
        is_voiced = self._activity.is_voiced(frame)  # every frame: the detector adapts to the line as well
        self._smoothed += (level - self._smoothed) * _SMOOTHING
        self._minimum = min(self._minimum, self._smoothed)
        self._frames += 1
        if self._frames % _WINDOW_FRAMES == 0:
            self._previous_minimum, self._minimum = self._minimum, self._smoothed
        return Voice(is_voiced and above > SPEECH_MARGIN_DECIBELS, above)


class VoicedWindow:
    """Whether at least `required` of the last `size` frames were voiced."""

    def __init__(self, required: int, size: int) -> None:
        self._required = required
        self._frames: deque[bool] = deque(maxlen=size)

    def add(self, is_voiced: bool) -> bool:
        """Adds a frame of 20 ms, and returns whether enough frames of the window are voiced."""
        self._frames.append(is_voiced)
        return is_voiced and sum(self._frames) >= self._required

    def reset(self) -> None:
        """Forgets all frames."""
        self._frames.clear()
