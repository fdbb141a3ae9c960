"""The media streams of an attempt, and when a live conversation goes on in turns (docs/live.md).

At every end of a stream the provider asks for the next instruction. So no process has to hand a call over to another:
the answer follows from the log. A stream whose process said nothing is first reported as lost. A conversation whose
streams fail goes on in turns, because a call is worth more than its mode.

A stream that no process accepted is no failed stream: the provider asks again within milliseconds, and the process may
be late or starting for moments only. So the first refusal is followed by another stream at once, further ones in a row
by a pause.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from contracts.vocabulary import DegradationReason, MediaClosedReason, MediaLostReason
from contracts.wait_phrases import one_moment_phrase
from telephony.instructions import OpenStream

MAX_FAILED_STREAMS = 3
"""After so many streams of an attempt that ended by a failure, no other is opened. So a loop has an end."""
MAX_REFUSALS = 4
"""After so many streams in a row that no process accepted, no other is opened."""
PAUSE_SECONDS = 1
"""The pause before a stream, after the second refusal in a row and each further one."""

_NO_FAILURE = frozenset({MediaClosedReason.DRAINED, MediaClosedReason.SUPERSEDED, MediaClosedReason.TRANSFERRED})
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

    @property
    def last_generation(self) -> int:
        """The number of the newest stream; 0: there was none."""
        return max(self.opened | self.lost | self.closed.keys(), default=0)

    def has_opted_out(self, generation: int) -> bool:
        """Whether the callee pressed the opt-out key, and that ended this stream."""
        return self.closed.get(generation) is MediaClosedReason.OPTED_OUT

    def is_unanswered(self, generation: int) -> bool:
        """Whether this stream ended because no reply to the callee came."""
        return self.closed.get(generation) is MediaClosedReason.UNANSWERED

    def is_over(self, generation: int, last_turn: int, *, has_ended: bool) -> bool:
        """Whether nothing is left to say after this stream: the goodbye was heard."""
        is_goodbye = self.closed.get(generation) is MediaClosedReason.GOODBYE
        return is_goodbye or (has_ended and last_turn in self.played_turns)

    def were_heard(self, generation: int, turn: int) -> bool:
        """Whether the words of a turn were heard to their end before this stream ended."""
        return self.closed.get(generation) is MediaClosedReason.TRANSFERRED or turn in self.played_turns

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
        failed = {number for number, reason in self.closed.items() if reason not in _NO_FAILURE}
        failed |= self.lost & self.opened
        is_over = len(failed) >= MAX_FAILED_STREAMS or self._refusals(generation) >= MAX_REFUSALS
        return DegradationReason.LOST_STREAMS if is_over else None

    def next_after(self, generation: int, call_id: UUID, attempt: int, language: str) -> OpenStream:
        """Returns the instruction that opens the stream after this one.

        A callee who has heard us before is asked to wait. Nothing precedes a greeting, which may have a disclosure.
        """
        if self._refusals(generation) < 2:  # another process may accept it at once
            return OpenStream(call_id, attempt, generation + 1)
        text = one_moment_phrase(language) if self.opened else ""
        return OpenStream(call_id, attempt, generation + 1, language, text, PAUSE_SECONDS)

    def _refusals(self, generation: int) -> int:
        """Returns how many streams in a row, this one being the last of them, no process accepted."""
        refused = self.lost - self.opened
        return next(count for count in range(generation + 1) if generation - count not in refused)


NO_STREAMS = Streams()
"""Those of a call that is not live."""
