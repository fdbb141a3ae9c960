"""A voice-like tone for any text: one vowel-shaped tone per syllable, silence between words.

It is audible, lasts as long as the spoken text would, and is equal for equal text and voice. Whole pitch periods are
copied from small tables: a second of audio costs about a hundred Python operations instead of ten thousand.
"""

import array
import functools
import math
import re
import zlib
from collections.abc import Callable, Iterator

CHARACTERS_PER_SECOND = 14.0
Speak = Callable[[str, str, int, float], Iterator[bytes]]
"""`speak`, or another way to say the same in the same time."""
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


def speak(text: str, voice: str, rate: int, speed: float = 1.0) -> Iterator[bytes]:
    """Yields the text as signed 16-bit little-endian mono samples at `rate` Hz, in blocks of about half a second."""
    per_character = rate / (CHARACTERS_PER_SECOND * speed)
    for block in _blocks(text, speed):
        samples = bytearray()
        for piece in block:
            count = round(piece.end() * per_character) - round(piece.start() * per_character)
            samples += _syllable(piece.group().lower(), count, rate, _pitch(text, voice, piece.start(), piece.group()))
        yield bytes(samples)


def block_ends(text: str, speed: float = 1.0) -> list[int]:
    """Returns where each block of `speak` ends in the text."""
    return [block[-1].end() for block in _blocks(text, speed)]


def character_seconds(speed: float = 1.0) -> float:
    """Returns how long each character lasts."""
    return 1 / (CHARACTERS_PER_SECOND * speed)


def _blocks(text: str, speed: float) -> Iterator[list[re.Match[str]]]:
    """Yields the syllables and pauses of the text in blocks of about half a second."""
    characters = _BLOCK_SECONDS / character_seconds(speed)
    block: list[re.Match[str]] = []
    for piece in _PIECE.finditer(text):
        block.append(piece)
        if block[-1].end() - block[0].start() >= characters:
            yield block
            block = []
    if block:
        yield block


def _pitch(text: str, voice: str, start: int, piece: str) -> float:
    """Returns the pitch in hertz: the voice's own, falling along the sentence, rising at the end of a question."""
    base = 105 + zlib.crc32(voice.encode()) % 110
    position = start / len(text)
    semitones = zlib.crc32(piece.lower().encode()) % 5 - round(3 * position)
    if text.rstrip().endswith("?") and position > 0.8:
        semitones += 5
    return float(base * 2 ** (semitones / 12))


def _syllable(piece: str, samples: int, rate: int, pitch: float) -> bytes:
    if not any(character.isalnum() for character in piece):
        return bytes(2 * samples)
    vowel = next((letter for letter in piece.translate(_UNACCENTED) if letter in _HARMONICS), "e")
    periods = _periods(round(rate / pitch), vowel)
    length = len(periods[0]) // 2
    count = math.ceil(samples / length)
    samples_of_periods = b"".join(periods[_loudness(number / count)] for number in range(count))
    return samples_of_periods[: 2 * samples]


def _loudness(position: float) -> int:
    """Returns the level at a position (0 to 1) of a syllable: it rises fast and falls slowly."""
    return round((_LEVELS - 1) * math.sin(math.pi * min(1.0, 0.15 + 0.85 * position)))


@functools.lru_cache(maxsize=256)
def _periods(length: int, vowel: str) -> tuple[bytes, ...]:
    """Returns one period of the vowel's wave, `length` samples long, at each level of loudness."""
    angles = [2 * math.pi * sample / length for sample in range(length)]
    wave = [
        sum(strength * math.sin(angle * (number + 1)) for number, strength in enumerate(_HARMONICS[vowel]))
        for angle in angles
    ]
    scale = _PEAK / max(map(abs, wave)) / (_LEVELS - 1)
    return tuple(array.array("h", (int(scale * level * value) for value in wave)).tobytes() for level in range(_LEVELS))
