"""The words in a callee's audio: written by the simulated telephone network, read by the simulated transcriber.

No recognizer is needed, because the audio carries its own text. Each voiced frame of an utterance (20 ms, 160 bytes of
mu-law) has a mark in the lowest bits of its first 80 bytes: the number of the utterance, the number of the frame in
it, and a checksum. The change is less than the quantization noise of mu-law. `SpokenWords` has the utterance of each
number, with the frames of each word. Silent frames and noise (a cough) have no mark, so they contain no words.

The telephone: `utterance = registry.register(text, words)`, then `mark(frame, utterance, number)` for each frame.
The transcriber: one `WordListener(registry)` per session, and `listener.listen(audio)` for all audio in order. Audio
may be cut anywhere; the first byte of a session must be the first byte of a frame. Both run in one process.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulators.mu_law import FRAME_BYTES, FRAME_SECONDS, SILENCE

MAX_UTTERANCES = 20_000
_NUMBER_BITS, _FRAME_BITS, _CHECK_BITS = 32, 16, 32
_MARK_BITS = _NUMBER_BITS + _FRAME_BITS + _CHECK_BITS
_LOST_END_FRAMES = 5
_LOWEST_BITS = bytes(b"01"[byte & 1] for byte in range(256))
_CLEARED = bytes(byte & 0xFE for byte in range(256))


@dataclass(frozen=True)
class SpokenWord:
    """A word with its punctuation, and the numbers of its first and last voiced frame in the utterance."""

    text: str
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class SpokenUtterance:
    """A registered utterance. `text` is what a perfect transcriber returns for all of it."""

    number: int
    text: str
    words: tuple[SpokenWord, ...]

    def words_until(self, frame: int) -> tuple[SpokenWord, ...]:
        """Returns the words that are complete when this frame has been spoken."""
        return tuple(word for word in self.words if word.last_frame <= frame)


@dataclass(frozen=True)
class HeardWord:
    """A word that a listener has heard to its end. Times are seconds of the session's audio."""

    text: str
    utterance: int
    start_seconds: float
    end_seconds: float


class SpokenWords:
    """The registered utterances of all calls. Keeps the newest `MAX_UTTERANCES`."""

    def __init__(self) -> None:
        self._utterances: dict[int, SpokenUtterance] = {}
        self._count = 0

    def register(self, text: str, words: Sequence[SpokenWord]) -> SpokenUtterance:
        """Registers an utterance before it is spoken, under a new number."""
        self._count += 1
        utterance = self._utterances[self._count] = SpokenUtterance(self._count, text, tuple(words))
        self._utterances.pop(self._count - MAX_UTTERANCES, None)
        return utterance

    def recognize(self, frame: bytes) -> tuple[SpokenUtterance, int] | None:
        """Returns the utterance of a frame and the frame's number in it, or None for silence and for noise."""
        if len(frame) != FRAME_BYTES or frame == SILENCE:
            return None
        bits = int(frame[:_MARK_BITS].translate(_LOWEST_BITS), 2)
        place, check = bits >> _CHECK_BITS, bits & (1 << _CHECK_BITS) - 1
        if check != _checksum(place):
            return None
        utterance = self._utterances.get(place >> _FRAME_BITS)
        return None if utterance is None else (utterance, place & (1 << _FRAME_BITS) - 1)


class WordListener:
    """Finds the words in the audio of one session, in order.

    A word is heard when its end has passed and at least half of it has arrived. `partial` is the word that is being
    spoken; it is empty between words.
    """

    def __init__(self, registry: SpokenWords) -> None:
        self.partial = ""
        self.seconds = 0.0
        self._registry = registry
        self._rest = b""
        self._frame_count = self._quiet_frames = 0
        self._utterance: SpokenUtterance | None = None
        self._next_word = 0
        self._last_frame = -1
        self._arrived: set[int] = set()

    def listen(self, audio: bytes) -> list[HeardWord]:
        """Returns the words that end in this audio. `seconds` becomes the length of all audio so far."""
        data = self._rest + audio
        whole = len(data) - len(data) % FRAME_BYTES
        self._rest = data[whole:]
        words: list[HeardWord] = []
        for start in range(0, whole, FRAME_BYTES):
            words.extend(self._listen_to_frame(data[start : start + FRAME_BYTES]))
        return words

    def _listen_to_frame(self, frame: bytes) -> Iterator[HeardWord]:
        self._frame_count += 1
        self.seconds = self._frame_count * FRAME_SECONDS
        recognized = self._registry.recognize(frame)
        if recognized is None:
            self._quiet_frames += 1
            if self._quiet_frames == _LOST_END_FRAMES:
                yield from self._complete(self._last_frame + _LOST_END_FRAMES)
                self.partial = ""
            return
        utterance, number = recognized
        if self._utterance is None or self._utterance.number != utterance.number:
            yield from self._complete(self._last_frame + _LOST_END_FRAMES)
            self._utterance, self._next_word = utterance, 0
            self._arrived.clear()
        self._quiet_frames, self._last_frame = 0, number
        self._arrived.add(number)
        yield from self._complete(number)
        word = utterance.words[self._next_word] if self._next_word < len(utterance.words) else None
        self.partial = word.text if word is not None and word.first_frame <= number else ""

    def _complete(self, number: int) -> Iterator[HeardWord]:
        """Returns the words whose end has passed with this frame; a word that has not arrived is left out."""
        utterance = self._utterance
        if utterance is None:
            return
        words = utterance.words
        while self._next_word < len(words) and words[self._next_word].last_frame <= number:
            word = words[self._next_word]
            self._next_word += 1
            frames = range(word.first_frame, word.last_frame + 1)
            if 2 * sum(frame in self._arrived for frame in frames) >= len(frames):
                end = self.seconds - max(0, self._last_frame - word.last_frame) * FRAME_SECONDS
                start = max(0.0, end - len(frames) * FRAME_SECONDS)
                yield HeardWord(word.text, utterance.number, start, end)


def mark(frame: bytes, utterance: SpokenUtterance, number: int) -> bytes:
    """Returns a frame with the mark of its place in the utterance. A silent frame stays silent."""
    if frame == SILENCE:
        return frame
    place = utterance.number << _FRAME_BITS | number
    bits = f"{place << _CHECK_BITS | _checksum(place):0{_MARK_BITS}b}".encode().translate(_BIT_OF_DIGIT)
    cleared = int.from_bytes(frame[:_MARK_BITS].translate(_CLEARED), "big")
    return (cleared | int.from_bytes(bits, "big")).to_bytes(_MARK_BITS, "big") + frame[_MARK_BITS:]


_BIT_OF_DIGIT = bytes(byte - ord("0") if byte in b"01" else 0 for byte in range(256))


def _checksum(place: int) -> int:
    return zlib.crc32(place.to_bytes((_NUMBER_BITS + _FRAME_BITS) // 8, "big"))
