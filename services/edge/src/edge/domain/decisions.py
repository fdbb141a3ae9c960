"""What `edge.domain.dialogue` can decide, beside an instruction to the line."""

from dataclasses import dataclass

from contracts.transfers import TransferStatus
from contracts.vocabulary import DegradationReason, MediaLostReason
from edge.domain.transfers import Transfer
from telephony.instructions import Instruction, PressKeys, Utterance


@dataclass(frozen=True, slots=True)
class ClaimTurn:
    """Append `speech.heard` at `turn`; its reply is played next.

    `is_of_person`: append also that a person has answered, and not the machine that was found.
    """

    turn: int
    utterance: Utterance
    is_of_person: bool = False


@dataclass(frozen=True, slots=True)
class ReadRemainder:
    """Read the unplayed remainder of `turn`, then decide again. No `sentence`: from the first unplayed one, if any."""

    turn: int
    sentence: int | None = None


@dataclass(frozen=True, slots=True)
class OptOut:
    """Append that the callee pressed the opt-out key in this attempt, then say goodbye."""

    attempt: int
    key: str
    event_id: str


@dataclass(frozen=True, slots=True)
class LateOptOut:
    """Append the words by which the callee opted out after the end of the conversation, then say goodbye."""

    attempt: int
    turn: int
    utterance: Utterance


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Append that keys are pressed, then press them."""

    instruction: PressKeys


@dataclass(frozen=True, slots=True)
class ReportLoss:
    """Append that a media stream is lost, then decide again."""

    generation: int
    reason: MediaLostReason


@dataclass(frozen=True, slots=True)
class Degrade:
    """Append that the attempt goes on in turns, then carry out the instruction."""

    reason: DegradationReason
    instruction: Instruction


@dataclass(frozen=True, slots=True)
class StartTransfer:
    """Append that the transfer begins, then instruct the provider to dial the person.

    `words`: what the callee said after the announcement.
    """

    transfer: Transfer
    words: str = ""


@dataclass(frozen=True, slots=True)
class EndTransfer:
    """Append how the transfer ended, then decide again."""

    transfer: Transfer
    status: TransferStatus
    seconds: int


@dataclass(frozen=True, slots=True)
class RefuseText:
    """Refuse a text: no conversation is in progress."""


LineDecision = SendDigits | StartTransfer | EndTransfer
"""Acts on the line that are appended first."""
Decision = (
    Instruction | ClaimTurn | ReadRemainder | OptOut | LateOptOut | LineDecision | ReportLoss | Degrade | RefuseText
)
