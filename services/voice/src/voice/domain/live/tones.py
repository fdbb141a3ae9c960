"""The tones of telephone keys, as mu-law at 8 kHz.

Each key has two frequencies (ITU-T Q.23, table 1). A tone and the pause after it last 100 ms each: receivers accept
40 ms of both (ITU-T Q.24). The higher frequency is 2 dB louder, because lines attenuate it more.
"""

import math
from functools import lru_cache

from voice.domain.live.media_stream import MU_LAW_SILENCE

RATE = 8_000
TONE_SECONDS = 0.1
PAUSE_SECONDS = 0.1
WAIT = "w"
WAIT_SECONDS = 0.5
FREQUENCIES = {
    key: (low, high)
    for low, keys in ((697, "123"), (770, "456"), (852, "789"), (941, "*0#"))
    for key, high in zip(keys, (1209, 1336, 1477), strict=True)
}
"""The lower and the higher frequency of each key, in hertz."""
_LOW_AMPLITUDE = 5_000
_HIGH_AMPLITUDE = 6_300
_BIAS = 132
_MAX_SAMPLE = 32_635


def tones_of(digits: str) -> bytes:
    """Returns the tones of keys, with their pauses; `WAIT` is half a second of silence. Raises KeyError."""
    return b"".join(_silence(WAIT_SECONDS) if digit == WAIT else _key(digit) for digit in digits)


@lru_cache(maxsize=len(FREQUENCIES))
def _key(digit: str) -> bytes:
    low, high = (2 * math.pi * frequency / RATE for frequency in FREQUENCIES[digit])
    samples = (
        _LOW_AMPLITUDE * math.sin(low * number) + _HIGH_AMPLITUDE * math.sin(high * number)
        for number in range(round(TONE_SECONDS * RATE))
    )
    return bytes(_encoded(round(sample)) for sample in samples) + _silence(PAUSE_SECONDS)


def _silence(seconds: float) -> bytes:
    return bytes([MU_LAW_SILENCE]) * round(seconds * RATE)


def _encoded(sample: int) -> int:
    """Returns a sample of 16 bits as mu-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    biased = min(abs(sample), _MAX_SAMPLE) + _BIAS
    segment = biased.bit_length() - 8
    return ~(sign | segment << 4 | biased >> segment + 3 & 0x0F) & 0xFF
