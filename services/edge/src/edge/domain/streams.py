"""The media streams of an attempt, and when a live conversation goes on in turns (docs/live.md).

At every end of a stream the provider asks for the next instruction. So no process has to hand a call over to another:
the answer follows from the log. A stream whose process said nothing is first reported as lost. A conversation whose
streams fail goes on in turns, because a call is worth more than its mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.vocabulary import DegradationReason, MediaClosedReason, MediaLostReason

MAX_FAILED_STREAMS = 3
"""After so many streams of an attempt that ended by a failure, no other is opened. So a loop has an end."""

_NO_FAILURE = frozenset({MediaClosedReason.DRAINED, MediaClosedReason.SUPERSEDED})
_DEGRADING = {
    MediaClosedReason.TRANSCRIPTION: DegradationReason.TRANSCRIPTION,
    MediaClosedReason.SYNTHESIS: DegradationReason.SYNTHESIS,
}


@dataclass(frozen=True, slots=True)
class Streams:
    """The media streams of one attempt, by their generations, as the log tells them."""

    is_configured: bool = False
    """Whether the installation has an address for media streams."""
    opened: frozenset[int] = frozenset()
    closed: Mapping[int, MediaClosedReason] = field(default_factory=dict)
    lost: frozenset[int] = frozenset()
    is_degraded: bool = False
    """Whether the attempt goes on in turns."""
    played_turns: frozenset[int] = frozenset()
    """The turns whose reply was heard to its end."""

    def has_opted_out(self, generation: int) -> bool:
        """Whether the callee pressed the opt-out key, and that ended this stream."""
        return self.closed.get(generation) is MediaClosedReason.OPTED_OUT

    def is_over(self, generation: int, last_turn: int, *, has_ended: bool) -> bool:
        """Whether nothing is left to say after this stream: the goodbye was heard."""
        is_goodbye = self.closed.get(generation) is MediaClosedReason.GOODBYE
        return is_goodbye or (has_ended and last_turn in self.played_turns)

    def reason_of_loss(self, generation: int) -> MediaLostReason | None:
        """Returns what became of a stream that has ended, if the log does not say it yet."""
        if generation in self.closed or generation in self.lost:
            return None
        return MediaLostReason.DIED if generation in self.opened else MediaLostReason.NEVER_OPENED

    def degradation_after(self, generation: int) -> DegradationReason | None:
        """Returns why the conversation goes on in turns after this stream; none if another stream is opened.

        `generation` is 0 before the first stream. The stream itself is in the log, as closed or as lost.
        """
        if not self.is_configured:
            return DegradationReason.NOT_CONFIGURED
        if (reason := self.closed.get(generation)) in _DEGRADING:
            return _DEGRADING[reason]
        failed = {number for number, reason in self.closed.items() if reason not in _NO_FAILURE} | self.lost
        return DegradationReason.LOST_STREAMS if len(failed) >= MAX_FAILED_STREAMS else None


NO_STREAMS = Streams()
"""Those of a call that is not live."""
