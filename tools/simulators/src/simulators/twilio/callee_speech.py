"""The voice of a callee as frames of mu-law: words as tones, with the frames of each word; coughs as noise."""

import array
import functools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from simulators import mu_law
from simulators.mu_law import FRAME_BYTES, FRAME_SECONDS, RATE, SILENCE
from simulators.spoken_words import SpokenWord
from simulators.tone_speech import CHARACTERS_PER_SECOND, Speak, speak
from simulators.twilio.callee_sounds import Pause

_SAMPLES_PER_CHARACTER = RATE / CHARACTERS_PER_SECOND
_NOISE_FRAMES = 18
_NOISE_PEAK = 9000
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Speech:
    """Frames without marks, and the words in them. The first and the last frame are voiced."""

    frames: tuple[bytes, ...]
    words: tuple[SpokenWord, ...]

    @property
    def seconds(self) -> float:
        """The length of the speech."""
        return len(self.frames) * FRAME_SECONDS


@functools.lru_cache(maxsize=256)
def synthesize(text: str, pauses: tuple[Pause, ...], voice: str, speak: Speak = speak) -> Speech:
    """Returns a text as speech, with its pauses."""
    audio = _with_pauses(b"".join(map(mu_law.encode, speak(text, voice, RATE, 1.0))), pauses)
    audio += b"\xff" * (-len(audio) % FRAME_BYTES)
    frames = [audio[start : start + FRAME_BYTES] for start in range(0, len(audio), FRAME_BYTES)]
    voiced = [number for number, frame in enumerate(frames) if frame != SILENCE]
    if not voiced:
        return Speech((), ())
    first, last = voiced[0], voiced[-1]
    return Speech(tuple(frames[first : last + 1]), tuple(_words(text, pauses, voiced)))


def cough(draw: random.Random) -> Speech:
    """Returns a burst of noise without words, a third of a second long."""
    frames = []
    for number in range(_NOISE_FRAMES):
        peak = round(_NOISE_PEAK * (1 - number / _NOISE_FRAMES))
        samples = array.array("h", (draw.randint(-peak, peak) for _ in range(FRAME_BYTES)))
        frames.append(mu_law.encode(samples.tobytes()))
    return Speech(tuple(frames), ())


def _with_pauses(audio: bytes, pauses: Sequence[Pause]) -> bytes:
    parts, start = [], 0
    for pause in pauses:
        end = round(pause.position * _SAMPLES_PER_CHARACTER)
        parts += [audio[start:end], b"\xff" * round(pause.seconds * RATE)]
        start = end
    return b"".join([*parts, audio[start:]])


def _words(text: str, pauses: Sequence[Pause], voiced: Sequence[int]) -> list[SpokenWord]:
    """Returns the words with their voiced frames. What has no sound (a dash) belongs to the word before it."""
    words: list[SpokenWord] = []
    for match in _WORD.finditer(text):
        shift = sum(pause.seconds for pause in pauses if pause.position <= match.start()) * RATE
        start = (match.start() * _SAMPLES_PER_CHARACTER + shift) // FRAME_BYTES
        end = (match.end() * _SAMPLES_PER_CHARACTER + shift - 1) // FRAME_BYTES
        own = [number - voiced[0] for number in voiced if start <= number <= end]
        if own:
            words.append(SpokenWord(match.group(), own[0], own[-1]))
        elif words:
            words[-1] = SpokenWord(f"{words[-1].text} {match.group()}", words[-1].first_frame, words[-1].last_frame)
    return words
