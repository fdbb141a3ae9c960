"""What the callee has said since the last turn was over."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The callee's turn is over.

    `text` is empty if a voice was heard and no transcript came. `segments` is the number of its pieces.
    `spoken_seconds` is the time from its first to its last sound, `endpoint_seconds` from then to the decision, and
    `transcription_seconds` from the last commit to its transcript (none if it did not come).
    """

    text: str
    segments: int
    spoken_seconds: float
    endpoint_seconds: float
    transcription_seconds: float | None


@dataclass(slots=True)
class SpokenTurn:
    """The turn that `endpointing` listens to."""

    began_at: float | None = None
    segments: list[str] = field(default_factory=list)
    is_without_transcript: bool = False
    needed_seconds: float | None = None
    """The silence after which the turn is over; none: to be computed from its text."""
    transcription_seconds: float | None = None

    @property
    def text(self) -> str:
        """Its segments."""
        return " ".join(self.segments)

    def text_with(self, partial: str) -> str:
        """Returns its segments, with a partial transcript behind them."""
        return " ".join(filter(None, (*self.segments, partial)))

    def add(self, text: str) -> None:
        """Adds a segment."""
        self.segments.append(text)
        self.needed_seconds = None
