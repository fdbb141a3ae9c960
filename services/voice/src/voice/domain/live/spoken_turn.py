"""What the callee has said since the last turn was over."""

from dataclasses import dataclass, field


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

    def add(self, text: str) -> None:
        """Adds a segment."""
        self.segments.append(text)
        self.needed_seconds = None
