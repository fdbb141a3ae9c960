"""When the callee is asked to repeat what was said between two streams.

It is not known whether anything was said. A callee who speaks as the stream begins is not talked over, and needs no
question: what is still to come claims a turn.
"""

LISTEN_SECONDS = 0.3
"""How long a new stream listens before it asks."""


class Repetition:
    """The question of one stream. Instants are those of the running loop's clock."""

    def __init__(self) -> None:
        self._due_at: float | None = None

    @property
    def is_owed(self) -> bool:
        """Whether the callee must be asked, and was not yet."""
        return self._due_at is not None

    def owe(self, now: float) -> None:
        """Takes that the stream has begun, and words of the callee may be lost."""
        self._due_at = now + LISTEN_SECONDS

    def is_due(self, now: float, *, is_needed: bool) -> bool:
        """Returns whether the callee must be asked now, which it does once. `is_needed`: the line is silent."""
        if self._due_at is None or (is_needed and now < self._due_at):
            return False
        self._due_at = None
        return is_needed
