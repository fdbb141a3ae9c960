"""Alignments: when each character of a text is heard."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from voice.domain.live.media_stream import BYTES_PER_SECOND


@dataclass(frozen=True, slots=True)
class Alignment:
    """The characters of a text, and when each is heard: from `starts[i]` to `ends[i]`, in seconds of its audio."""

    characters: str
    starts: Sequence[float]
    ends: Sequence[float]

    def part(self, start: int, end: int, seconds: float) -> "Alignment":
        """Returns the characters from `start` to `end`, with times relative to the instant `seconds`."""
        return Alignment(
            self.characters[start:end],
            tuple(max(0.0, time - seconds) for time in self.starts[start:end]),
            tuple(max(0.0, time - seconds) for time in self.ends[start:end]),
        )


@dataclass(slots=True)
class RunningAlignment:
    """The alignment of a growing text: times that are relative to a chunk become relative to the whole."""

    characters: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    seconds: float = 0.0
    """How much audio was added."""

    def add(self, alignment: Alignment | None, audio_bytes: int) -> None:
        """Adds a chunk: its alignment, and the number of its bytes of audio."""
        if alignment is not None:
            latest = self.ends[-1] if self.ends else 0.0
            for character, start, end in zip(alignment.characters, alignment.starts, alignment.ends, strict=True):
                latest = max(latest, self.seconds + end)  # a vendor's times may go back
                self.characters.append(character)
                self.starts.append(min(self.seconds + start, latest))
                self.ends.append(latest)
        self.seconds += audio_bytes / BYTES_PER_SECOND

    def count_heard(self, seconds: float) -> int:
        """Returns how many characters are heard to their end within the first `seconds`."""
        return bisect_right(self.ends, seconds + 1e-6)


@dataclass(frozen=True, slots=True)
class SentenceAudio:
    """Audio of one sentence (mu-law, 8 kHz), with the alignment relative to `audio`.

    After the one that `is_last`, no more audio of the sentence follows.
    """

    sentence: int
    audio: bytes
    alignment: Alignment | None
    is_last: bool = False


@dataclass(slots=True)
class _Expected:
    sentence: int
    characters: int
    """How many of its characters have no audio yet, white space not counted."""


@dataclass(slots=True)
class ReplyAudio:
    """Divides the audio of one context among the sentences that were sent to it, by the characters of the alignment.

    Sentences are added in order, each before its audio arrives. A chunk with characters of two sentences is cut where
    the second begins. A chunk without an alignment belongs to the sentence before. The last sentence is complete when
    the next one begins, or with `finish`: a vendor may send audio after a sentence's last character.
    """

    _expected: deque[_Expected] = field(default_factory=deque)

    def expect(self, sentence: int, text: str) -> None:
        """Adds a sentence that was sent to the context."""
        self._expected.append(_Expected(sentence, _count(text)))

    def add(self, audio: bytes, alignment: Alignment | None) -> list[SentenceAudio]:
        """Returns the parts of a chunk, each with its sentence; nothing without a sentence."""
        if not self._expected:
            return []
        if alignment is None:
            return [SentenceAudio(self._expected[0].sentence, audio, None)]
        parts: list[SentenceAudio] = []
        start, seconds = 0, 0.0  # where the next part begins: in the alignment, and in the audio
        for index, character in enumerate(alignment.characters):
            if character.isspace():
                continue
            expected = self._expected[0]
            if expected.characters == 0 and len(self._expected) > 1:
                cut = max(seconds, alignment.starts[index]) if index > start else seconds
                part = alignment.part(start, index, seconds) if index > start else None
                parts.append(SentenceAudio(expected.sentence, _between(audio, seconds, cut), part, is_last=True))
                self._expected.popleft()
                expected, start, seconds = self._expected[0], index, cut
            expected.characters = max(0, expected.characters - 1)
        rest = alignment.part(start, len(alignment.characters), seconds)
        return [*parts, SentenceAudio(self._expected[0].sentence, _between(audio, seconds, None), rest)]

    def finish(self) -> list[SentenceAudio]:
        """Returns an empty, last part for each sentence that is not complete: the context has no more audio."""
        parts = [SentenceAudio(expected.sentence, b"", None, is_last=True) for expected in self._expected]
        self._expected.clear()
        return parts


def _count(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _between(audio: bytes, start_seconds: float, end_seconds: float | None) -> bytes:
    start = round(start_seconds * BYTES_PER_SECOND)
    return audio[start:] if end_seconds is None else audio[start : round(end_seconds * BYTES_PER_SECOND)]
