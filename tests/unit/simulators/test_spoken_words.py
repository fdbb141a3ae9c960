"""The marks in a callee's audio: a transcriber finds the words, in any cutting, and none in silence or noise."""

import random

import pytest

from simulators import mu_law
from simulators.mu_law import FRAME_BYTES, SILENCE
from simulators.spoken_words import SpokenUtterance, SpokenWord, SpokenWords, WordListener, mark


def noise(frames: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(frames * FRAME_BYTES)


def speak(registry: SpokenWords, text: str, frames_per_word: int = 10, pause: int = 3) -> bytes:
    """Returns the audio of a text: noise for each word, silence between two words."""
    texts = text.split()
    length = frames_per_word + pause
    words = [SpokenWord(word, at * length, at * length + frames_per_word - 1) for at, word in enumerate(texts)]
    utterance = registry.register(text, words)
    voice = noise(frames_per_word * len(texts))
    audio = b""
    for at in range(len(texts)):
        for number in range(frames_per_word):
            frame = voice[(at * frames_per_word + number) * FRAME_BYTES :][:FRAME_BYTES]
            audio += mark(frame, utterance, at * length + number)
        audio += SILENCE * pause
    return audio


@pytest.mark.parametrize("piece", [1, 159, 160, 161, 800, 100_000])
def test_a_listener_finds_the_words_in_any_cutting(piece: int) -> None:
    registry = SpokenWords()
    audio = SILENCE * 5 + speak(registry, "Sí, mañana a las diez.") + SILENCE + speak(registry, "Gracias.")
    listener = WordListener(registry)
    words = [word for at in range(0, len(audio), piece) for word in listener.listen(audio[at : at + piece])]
    assert [word.text for word in words] == ["Sí,", "mañana", "a", "las", "diez.", "Gracias."]
    assert [word.utterance for word in words] == [1, 1, 1, 1, 1, 2]
    assert (round(words[0].start_seconds, 2), round(words[0].end_seconds, 2)) == (0.1, 0.3)
    assert listener.seconds == pytest.approx(len(audio) / mu_law.RATE)


def test_a_word_is_partial_until_its_last_frame() -> None:
    registry = SpokenWords()
    audio = speak(registry, "Hello there")
    listener = WordListener(registry)
    assert listener.listen(audio[: 5 * FRAME_BYTES]) == []
    assert listener.partial == "Hello"
    assert [word.text for word in listener.listen(audio[5 * FRAME_BYTES : 12 * FRAME_BYTES])] == ["Hello"]
    assert listener.partial == ""


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (range(5), ["one", "two", "three"]),
        (range(9, 10), ["one", "two", "three"]),
        (range(10), ["two", "three"]),
        (range(13, 26), ["one", "three"]),
        (range(34, 36), ["one", "two", "three"]),
        (range(30, 36), ["one", "two"]),
    ],
)
def test_a_word_needs_half_of_its_frames(lost: range, words: list[str]) -> None:
    registry = SpokenWords()
    audio = speak(registry, "one two three") + SILENCE * 10
    frames = [audio[start : start + FRAME_BYTES] for start in range(0, len(audio), FRAME_BYTES)]
    kept = b"".join(frame for number, frame in enumerate(frames) if number not in lost)
    assert [word.text for word in WordListener(registry).listen(kept)] == words


def test_silence_and_noise_contain_no_words() -> None:
    registry = SpokenWords()
    speak(registry, "Hello")
    listener = WordListener(registry)
    assert listener.listen(SILENCE * 10 + noise(2000, seed=2)) == []
    assert registry.recognize(b"\xfe" * FRAME_BYTES) is None
    assert registry.recognize(b"short") is None


def test_a_mark_changes_a_frame_less_than_its_quantization() -> None:
    utterance = SpokenUtterance(7, "Hello", ())
    frame = noise(1)
    marked = mark(frame, utterance, 3)
    assert all(before | 1 == after | 1 for before, after in zip(frame, marked, strict=True))
    assert mark(SILENCE, utterance, 3) == SILENCE


def test_mu_law_decodes_what_it_encodes_and_attenuates() -> None:
    every_byte = bytes(range(256))
    decoded = mu_law.decode(every_byte)
    assert mu_law.decode(mu_law.encode(decoded.tobytes())) == decoded
    quiet = mu_law.decode(every_byte.translate(mu_law.gain(-20.0)))
    assert all(
        abs(after * 10 - before) <= max(80, abs(before) / 4) for before, after in zip(decoded, quiet, strict=True)
    )
    assert mu_law.mix(SILENCE, b"\x10" * FRAME_BYTES) == b"\x10" * FRAME_BYTES
