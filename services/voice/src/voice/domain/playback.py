"""When the callee has heard the audio that was sent.

Audio is sent faster than real time, and the telephone provider plays it at its own speed. Frames that arrive while
earlier ones are playing follow them without a gap; frames that arrive later leave the line silent until then.
"""

from dataclasses import dataclass, field

from voice.domain.mp3 import FrameCutter

START_SECONDS = 1.0
"""Maximum time until audio sent to a silent line is heard. A value that is too small cuts off a word; one that
is too large makes a pause."""


@dataclass
class Playback:
    """The playback of one MP3 stream: the frames of one turn, and when they were sent.

    Their playing time is computed only if a turn has a remainder, which is rare; the frames of a turn are some 100 kB.
    """

    _sent: list[tuple[float, bytes]] = field(default_factory=list)

    def add(self, frames: bytes, *, now: float) -> None:
        """Adds frames that were sent at the instant `now`, in seconds."""
        self._sent.append((now, frames))

    @property
    def ends_at(self) -> float:
        """When the callee has heard all of it, by the clock of `add`."""
        cutter, ends_at = FrameCutter(), 0.0
        for now, frames in self._sent:
            seconds_before = cutter.seconds
            cutter.feed(frames)
            ends_at = max(ends_at, now + START_SECONDS) + cutter.seconds - seconds_before
        return ends_at


@dataclass(frozen=True, slots=True)
class UnplayedRemainder:
    """The sentences of a turn that were not played, from number `sentence` on.

    `speak_at` is when the callee has heard everything before them, by the clock of the running loop in seconds.
    """

    sentence: int
    speak_at: float
    traceparent: str | None = None
    after_sequence: int = 0
    """The sequence of the turn's `speech.heard`; 0 if it is not known."""
