"""Instructions to the telephone network for one line, and the utterances that it returns.

A provider's module renders the instructions. Most of them then wait for the callee's next utterance, which belongs to
the turn after `turn`. `after_sequence` becomes part of the URLs (`telephony.routes`). `hears_keys`: a key of the
telephone ends the instruction, as an utterance does.
"""

from dataclasses import dataclass
from uuid import UUID

GREETING_TURN = 0


@dataclass(frozen=True, slots=True)
class PlayGreeting:
    """Play the audio of the greeting, which is turn 0."""

    call_id: UUID
    attempt: int
    language: str
    turn: int = GREETING_TURN
    after_sequence: int = 0
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class PlayTurn:
    """Play the audio of a turn's reply while it is synthesized."""

    call_id: UUID
    attempt: int
    language: str
    turn: int
    after_sequence: int = 0
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class SpeakText:
    """Speak `text`, the unplayed remainder of a turn, in the provider's own voice."""

    call_id: UUID
    attempt: int
    language: str
    turn: int
    text: str
    after_sequence: int = 0
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class Listen:
    """Play nothing: all of the turn has been played."""

    call_id: UUID
    attempt: int
    language: str
    turn: int
    after_sequence: int = 0
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class PressKeys:
    """Press keys for the callee, which may be a switchboard, then listen. `digits`: w waits half a second."""

    call_id: UUID
    attempt: int
    language: str
    turn: int
    digits: str
    after_sequence: int = 0
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class PlayMessage:
    """Play the audio of the message to a machine, then report its end.

    `is_interruptible`: the callee may be a person, whose utterance belongs to the turn after `turn`.
    """

    call_id: UUID
    attempt: int
    language: str
    turn: int
    after_sequence: int = 0
    is_interruptible: bool = False
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class SpeakMessage:
    """Speak the message to a machine in the provider's own voice, then report its end. As `PlayMessage`."""

    call_id: UUID
    attempt: int
    language: str
    turn: int
    text: str
    after_sequence: int = 0
    is_interruptible: bool = False
    hears_keys: bool = False


@dataclass(frozen=True, slots=True)
class RestartMessage:
    """Ask for the message to a machine, from its beginning."""

    call_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Connect the audio of both to voice, then report the end of this media stream.

    `generation`: the number of the stream in its attempt, from 1. Before the stream, `text` is spoken in the provider's
    own voice, unless it is empty, and the line is silent for `pause_seconds`. `is_relay`: the stream has text, and the
    provider transcribes and speaks, in this `voice` if the call asks for one.
    """

    call_id: UUID
    attempt: int
    generation: int
    language: str = ""
    text: str = ""
    pause_seconds: int = 0
    is_relay: bool = False
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Be silent for a moment, then report the end of this media stream again. `repetition`: how often, from 1."""

    call_id: UUID
    attempt: int
    generation: int
    repetition: int


@dataclass(frozen=True, slots=True)
class ConnectPerson:
    """Dial a person and connect the callee, then report the end of this transfer.

    `turn`: in which the transfer was announced. `caller_id`: the number that calls; none: that of the callee's line.
    `is_offered`: the person is offered the callee first (`Webhook.TRANSFER_OFFERED`), while the callee hears it ring.
    """

    call_id: UUID
    attempt: int
    turn: int
    phone_number: str
    ring_seconds: int
    max_seconds: int
    caller_id: str | None = None
    is_offered: bool = False


@dataclass(frozen=True, slots=True)
class OfferTransfer:
    """Speak `text` to the person in the provider's own voice, and await a key. Without one, end the person's leg."""

    call_id: UUID
    attempt: int
    turn: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class JoinCall:
    """Connect the person with the callee."""


@dataclass(frozen=True, slots=True)
class SpeakGoodbye:
    """Speak `text` in the provider's own voice, then end the call."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the callee said; an empty `text` is a silence. A repeated webhook has the same `event_id`.

    `key`: the callee pressed it, and said nothing.
    """

    text: str
    confidence: float | None
    event_id: str
    key: str | None = None


Prompt = PlayGreeting | PlayTurn | SpeakText | Listen | PressKeys | PlayMessage | SpeakMessage
"""An instruction during which the callee may speak."""
TransferInstruction = ConnectPerson | OfferTransfer | JoinCall
Instruction = Prompt | RestartMessage | OpenStream | AskAgain | TransferInstruction | SpeakGoodbye | HangUp
