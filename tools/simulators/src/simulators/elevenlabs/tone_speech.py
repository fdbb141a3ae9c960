"""A voice-like tone for any text: one vowel-shaped tone a syllable, silence between words.

Nobody would take it for a person, but it is audible, as long as the text would be when spoken, and the
same for the same text and voice. Whole pitch periods are copied from small tables, so a second of audio
costs some hundred Python operations instead of some ten thousand.
"""

import array
import functools
import math
import re
import zlib
from collections.abc import Iterator

CHARACTERS_PER_SECOND = 14.0
_BLOCK_SECONDS = 0.5
_PEAK = 9000
_LEVELS = 8
_VOWELS = "aeiouáéíóúü"
_PIECE = re.compile(rf"[\W_]+|[^\W_{_VOWELS}]*[{_VOWELS}]+|[^\W_{_VOWELS}]+", re.IGNORECASE)
# Strength of the first harmonics: brighter for the open vowels, darker for the closed ones.
_HARMONICS = {
    "a": (1.0, 0.9, 0.8, 0.6, 0.3, 0.2),
    "e": (1.0, 0.7, 0.3, 0.5, 0.4, 0.2),
    "i": (1.0, 0.3, 0.1, 0.1, 0.3, 0.4),
    "o": (1.0, 0.8, 0.5, 0.2, 0.1, 0.0),
    "u": (1.0, 0.5, 0.1, 0.1, 0.0, 0.0),
}
_UNACCENTED = str.maketrans("áéíóúü", "aeiouu")


def seconds_of(text: str, pace: float = 1.0) -> float:
    """How many seconds the text takes to say; `pace` 2 is twice as fast."""
    return len(text) / (CHARACTERS_PER_SECOND * pace)


def speak(text: str, voice: str, rate: int, pace: float = 1.0) -> Iterator[bytes]:
    """The text as signed 16-bit little-endian mono samples at `rate` Hz, in blocks of about half a second."""
    per_character = rate / (CHARACTERS_PER_SECOND * pace)
    block = bytearray()
    for piece in _PIECE.finditer(text):
        samples = round(piece.end() * per_character) - round(piece.start() * per_character)
        block += _say(piece.group().lower(), samples, rate, _pitch(text, voice, piece.start(), piece.group()))
        if len(block) >= 2 * rate * _BLOCK_SECONDS:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _pitch(text: str, voice: str, start: int, piece: str) -> float:
    """Hertz: the voice's own pitch, sinking along the sentence, rising at the end of a question."""
    base = 105 + zlib.crc32(voice.encode()) % 110
    place = start / len(text)
    semitones = zlib.crc32(piece.lower().encode()) % 5 - round(3 * place)
    if text.rstrip().endswith("?") and place > 0.8:
        semitones += 5
    return float(base * 2 ** (semitones / 12))


def _say(piece: str, samples: int, rate: int, pitch: float) -> bytes:
    if not any(character.isalnum() for character in piece):
        return bytes(2 * samples)
    vowel = next((letter for letter in piece.translate(_UNACCENTED) if letter in _HARMONICS), "e")
    periods = _periods(round(rate / pitch), vowel)
    length = len(periods[0]) // 2
    count = math.ceil(samples / length)
    said = b"".join(periods[_loudness(number / count)] for number in range(count))
    return said[: 2 * samples]


def _loudness(place: float) -> int:
    """The level at this place (0 to 1) of a syllable: quick to rise, slow to fall."""
    return round((_LEVELS - 1) * math.sin(math.pi * min(1.0, 0.15 + 0.85 * place)))


@functools.lru_cache(maxsize=256)
def _periods(length: int, vowel: str) -> tuple[bytes, ...]:
    """One period of the vowel's wave, `length` samples long, at each level of loudness."""
    turns = [2 * math.pi * place / length for place in range(length)]
    wave = [
        sum(strength * math.sin(turn * (number + 1)) for number, strength in enumerate(_HARMONICS[vowel]))
        for turn in turns
    ]
    scale = _PEAK / max(map(abs, wave)) / (_LEVELS - 1)
    return tuple(array.array("h", (int(scale * level * value) for value in wave)).tobytes() for level in range(_LEVELS))
