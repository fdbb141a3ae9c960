"""Mu-law, the codec of telephone lines (ITU-T G.711): 8000 samples of one byte a second."""

import array
import functools

RATE = 8000
FRAME_SECONDS = 0.02
FRAME_BYTES = 160
SILENCE = b"\xff" * FRAME_BYTES
"""One silent frame."""


def encode(samples: bytes) -> bytes:
    """Encodes signed 16-bit mono samples, one byte a sample."""
    return bytes(_ENCODED[sample >> 2] for sample in array.array("h", samples))


def decode(audio: bytes) -> "array.array[int]":
    """Decodes to signed 16-bit samples."""
    return array.array("h", map(_DECODED.__getitem__, audio))


def mix(first: bytes, second: bytes) -> bytes:
    """Returns the sum of two pieces of audio of equal length."""
    if first == SILENCE:
        return second
    if second == SILENCE:
        return first
    sums = (_DECODED[one] + _DECODED[other] for one, other in zip(first, second, strict=True))
    return bytes(_ENCODED[max(-32768, min(32767, total)) >> 2] for total in sums)


@functools.lru_cache(maxsize=64)
def gain(decibels: float) -> bytes:
    """Returns the table for `bytes.translate` that changes the level of audio by this many decibels."""
    factor = 10 ** (decibels / 20)
    return bytes(_ENCODED[max(-32768, min(32767, int(sample * factor))) >> 2] for sample in _DECODED)


def _encode_sample(sample: int) -> int:
    """Encodes a 16-bit sample, by the segments of G.711."""
    sign = 0x80 if sample < 0 else 0
    biased = min(abs(sample), 32635) + 132
    segment = biased.bit_length() - 8
    return ~(sign | segment << 4 | biased >> segment + 3 & 0x0F) & 0xFF


def _decode_byte(byte: int) -> int:
    inverted = ~byte & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + 132 << (inverted >> 4 & 0x07)) - 132
    return -magnitude if inverted & 0x80 else magnitude


# Indexed by the upper 14 bits of a sample. The negative half is at the end: Python's negative indexes select it.
_ENCODED = bytes(_encode_sample(high << 2) for high in (*range(8192), *range(-8192, 0)))
_DECODED = tuple(_decode_byte(byte) for byte in range(256))
