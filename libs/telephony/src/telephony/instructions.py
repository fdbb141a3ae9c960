"""Instructions: what the telephone network is to do next on a line. A provider's module renders them.

Every instruction but `HangUp` then waits for the callee's next utterance, which belongs to the turn after `turn`.
"""

from dataclasses import dataclass
from uuid import UUID

GREETING_TURN = 0


@dataclass(frozen=True, slots=True)
class PlayTurn:
    """Play the audio of a turn while it is synthesized; turn 0 is the greeting."""

    call_id: UUID
    attempt: int
    turn: int
    language: str


@dataclass(frozen=True, slots=True)
class SpeakText:
    """Speak `text`, the unplayed remainder of a turn, in the provider's own voice."""

    call_id: UUID
    attempt: int
    turn: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


Instruction = PlayTurn | SpeakText | HangUp
