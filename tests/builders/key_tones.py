"""Recognizes the tones of telephone keys in mu-law, by Goertzel's algorithm (ITU-T Q.23, Q.24)."""

import math
from collections.abc import Sequence

from simulators import mu_law

RATE = 8_000
BLOCK = 160
"""20 ms."""
LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477)
KEYS = ("123", "456", "789", "*0#")
_MIN_LEVEL = 0.2
"""The least part of a block's energy that each of the two frequencies of a key has."""


def keys_in(audio: bytes) -> str:
    """Returns the keys whose tones are in the audio, in their order."""
    samples = mu_law.decode(audio)
    keys, previous = "", ""
    for start in range(0, len(samples) - BLOCK + 1, BLOCK):
        key = _key(samples[start : start + BLOCK])
        keys += key if key != previous else ""
        previous = key
    return keys


def _key(block: Sequence[int]) -> str:
    energy = sum(sample * sample for sample in block) * BLOCK / 2
    if energy < BLOCK * BLOCK * 1_000:
        return ""
    low, high = ([_power(block, frequency) / energy for frequency in group] for group in (LOW, HIGH))
    if min(max(low), max(high)) < _MIN_LEVEL:
        return ""
    return KEYS[low.index(max(low))][high.index(max(high))]


def _power(block: Sequence[int], frequency: int) -> float:
    """Returns the power of a frequency in a block."""
    coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
    first = second = 0.0
    for sample in block:
        first, second = sample + coefficient * first - second, first
    return first * first + second * second - coefficient * first * second
