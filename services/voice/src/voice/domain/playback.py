"""When the callee has heard what was sent: faster than real time, and played at the provider's own pace."""

from dataclasses import dataclass, field

from voice.domain.mp3 import FrameCutter

START_SECONDS = 1.0
"""From sending a sound to a silent line until it is heard, at most: too short loses a word, too long is a pause."""


@dataclass
class Playback:
    """One stream of MP3 frames. Sound that comes late is heard late: the line is silent until then.

    `ends` is when all of it has been heard, by the clock of `add`.
    """

    ends: float = 0.0
    _cutter: FrameCutter = field(default_factory=FrameCutter)

    def add(self, frames: bytes, *, now: float) -> None:
        """These frames were sent now."""
        before = self._cutter.seconds
        self._cutter.feed(frames)
        self.ends = max(self.ends, now + START_SECONDS) + self._cutter.seconds - before


@dataclass(frozen=True, slots=True)
class UnplayedRemainder:
    """What of a turn nobody could hear: from a sentence on. What was sent before it has been heard at `after`."""

    sentence: int
    after: float
    traceparent: str | None = None
