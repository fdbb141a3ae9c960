"""Recognizes the tones of telephone keys in mu-law frames, by Goertzel's algorithm (ITU-T Q.23, Q.24)."""

import math
from collections.abc import Sequence

from simulators import mu_law
from simulators.mu_law import RATE

_LOW = (697, 770, 852, 941)
_HIGH = (1209, 1336, 1477)
_KEYS = ("123", "456", "789", "*0#")
_MIN_LEVEL = 0.2
"""The least part of a frame's energy that each of the two frequencies of a key has."""
_MIN_MEAN_SQUARE = 500_000


class KeyToneDetector:
    """Receives the frames that a callee hears. A key is recognized in the first whole frame of its tone."""

    def __init__(self) -> None:
        self._previous = ""

    def feed(self, frame: bytes | None) -> str:
        """Returns the key whose tone begins with this frame; empty: none."""
        key = _key(mu_law.decode(frame)) if frame else ""
        begins = key != self._previous
        self._previous = key
        return key if begins else ""


def _key(samples: Sequence[int]) -> str:
    energy = sum(sample * sample for sample in samples)
    if not samples or energy < len(samples) * _MIN_MEAN_SQUARE:
        return ""
    total = energy * len(samples) / 2
    low, high = ([_power(samples, frequency) / total for frequency in group] for group in (_LOW, _HIGH))
    if min(max(low), max(high)) < _MIN_LEVEL:
        return ""
    return _KEYS[low.index(max(low))][high.index(max(high))]


def _power(samples: Sequence[int], frequency: int) -> float:
    coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
    first = second = 0.0
    for sample in samples:
        first, second = sample + coefficient * first - second, first
    return first * first + second * second - coefficient * first * second
