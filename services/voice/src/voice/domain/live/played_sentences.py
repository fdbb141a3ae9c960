"""One sentence that is played: its audio, which frames were sent when, and which of its words were heard."""

import math
from dataclasses import dataclass, field

from voice.domain.live.alignments import Alignment, RunningAlignment
from voice.domain.live.media_stream import FRAME_BYTES, FRAME_SECONDS, MU_LAW_SILENCE

REPLAY_SECONDS = 0.2
"""How much of what was heard may be repeated after a pause."""
_REPLAY_FRAMES = round(REPLAY_SECONDS / FRAME_SECONDS)
_UNALIGNED_SECONDS = 0.3
_SECONDS_PER_CHARACTER = 1 / 15
"""Speaking rate that is assumed of a sentence without an alignment whose audio is not complete."""


@dataclass(slots=True)
class _Run:
    """Frames that were sent without a gap between them."""

    started_at: float
    """When the first of them is heard, by the clock of the playout."""
    first: int
    count: int


@dataclass(slots=True)
class PlayedSentence:
    """A sentence of a turn. Frames have 20 ms and count from 0."""

    turn: int
    number: int
    text: str
    is_interruptible: bool = True
    is_finished: bool = False
    """Whether its audio is complete."""
    is_marked: bool = False
    """Whether the mark behind it was sent."""
    is_heard: bool = False
    """Whether its mark has returned."""
    frames: int = 0
    """How many whole frames of audio there are."""
    sent_frames: int = 0
    heard_before: int = 0
    """How many frames had been heard at the last pause."""
    alignment: RunningAlignment = field(default_factory=RunningAlignment)
    _audio: bytearray = field(default_factory=bytearray)
    _runs: list[_Run] = field(default_factory=list)

    def add(self, audio: bytes, alignment: Alignment | None) -> None:
        """Adds audio of any length."""
        self._audio += audio
        self.alignment.add(alignment, len(audio))
        self.frames = len(self._audio) // FRAME_BYTES

    def finish(self) -> bool:
        """Ends the audio, and returns whether a frame was filled with silence."""
        self.is_finished = True
        missing = -len(self._audio) % FRAME_BYTES
        self._audio += bytes([MU_LAW_SILENCE]) * missing
        self.frames = len(self._audio) // FRAME_BYTES
        return missing > 0

    def send(self, count: int, heard_at: float) -> bytes:
        """Returns the audio of the next `count` frames, which are heard from the instant `heard_at` on."""
        first = self.sent_frames
        self.sent_frames = first + count
        run = self._runs[-1] if self._runs else None
        if run and abs(run.started_at + run.count * FRAME_SECONDS - heard_at) < FRAME_SECONDS / 2:
            run.count += count
        else:
            self._runs.append(_Run(heard_at, first, count))
        return bytes(self._audio[first * FRAME_BYTES : self.sent_frames * FRAME_BYTES])

    def heard_frames(self, instant: float) -> int:
        """Returns how many frames were heard until an instant of the playout's clock."""
        if self.is_heard:
            return self.frames
        heard = self.heard_before
        for run in self._runs:
            if run.started_at <= instant:
                played = math.floor((instant - run.started_at) / FRAME_SECONDS + 1e-6)
                heard = max(heard, run.first + min(played, run.count))
        return heard

    def confirm(self) -> None:
        """Declares that all of it was heard. Its audio is not needed any more."""
        self.is_heard = True
        self._audio = bytearray()
        self._runs = []

    def stop(self, instant: float) -> None:
        """Remembers what was heard until an instant. What was sent and not heard is gone."""
        self.heard_before = self.heard_frames(instant)
        self._runs = []

    def rewind(self) -> None:
        """Has the sentence sent again: from its last heard frame, or up to 200 ms before it at the start of a word."""
        self.is_marked = False
        self.sent_frames = self._start_of_replay()

    def _start_of_replay(self) -> int:
        heard = self.heard_before
        if heard == 0 or (self.is_finished and heard == self.frames):
            return heard
        earliest = max(0, heard - _REPLAY_FRAMES)
        characters, latest = self.alignment.characters, heard * FRAME_SECONDS + 1e-6
        for index in range(len(characters) - 1, -1, -1):
            start = self.alignment.starts[index]
            is_start_of_word = not characters[index].isspace() and (index == 0 or characters[index - 1].isspace())
            if is_start_of_word and start <= latest:
                return max(earliest, math.floor(start / FRAME_SECONDS + 1e-6))
        return earliest

    def heard_text(self, frames: int) -> str:
        """Returns the words that end within the first `frames`."""
        if self.is_finished and frames >= self.frames:
            return self.text.strip() if frames or self.is_heard else ""
        seconds = frames * FRAME_SECONDS
        count = self._aligned_characters(seconds)
        if count is None:
            total = self.alignment.seconds
            if not self.is_finished:
                total = max(total, len(self.text) * _SECONDS_PER_CHARACTER)
            visible = sum(not character.isspace() for character in self.text)
            count = math.floor(visible * seconds / total) if total else 0
        return whole_words(self.text, count)

    def _aligned_characters(self, seconds: float) -> int | None:
        """Returns how many visible characters were heard; none if the alignment does not reach that far."""
        aligned = self.alignment
        if not aligned.ends or seconds > aligned.ends[-1] + _UNALIGNED_SECONDS:
            return None
        return sum(not character.isspace() for character in aligned.characters[: aligned.count_heard(seconds)])


def whole_words(text: str, count: int) -> str:
    """Returns the whole words within the first `count` visible characters, each with its punctuation."""
    end = 0  # of the whole words
    seen = 0
    start = 0
    for token in text.split():
        start = text.index(token, start)
        letters = max((index + 1 for index, character in enumerate(token) if character.isalnum()), default=len(token))
        if seen + letters > count:
            break
        seen += len(token)
        start += len(token)
        end = start
    return text[:end].strip()
