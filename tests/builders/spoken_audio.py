"""Audio of simulated callees, with the marks that a simulated transcriber reads."""

import random

from simulators.mu_law import FRAME_BYTES, SILENCE
from simulators.spoken_words import SpokenWord, SpokenWords, mark

FRAMES_PER_WORD = 10
PAUSE_FRAMES = 3


def speak(registry: SpokenWords, text: str) -> bytes:
    """Returns the text as mu-law: 0.2 s for each word, each followed by 0.06 s of silence."""
    texts = text.split()
    length = FRAMES_PER_WORD + PAUSE_FRAMES
    words = [SpokenWord(word, at * length, at * length + FRAMES_PER_WORD - 1) for at, word in enumerate(texts)]
    utterance = registry.register(text, words)
    audio = b""
    for at in range(len(texts)):
        for number in range(at * length, at * length + FRAMES_PER_WORD):
            audio += mark(random.Random(number).randbytes(FRAME_BYTES), utterance, number)
        audio += SILENCE * PAUSE_FRAMES
    return audio


def silence(seconds: float) -> bytes:
    """Returns silence of this length."""
    return SILENCE * round(seconds / 0.02)
