"""The state of a call on which `edge.domain.dialogue` decides."""

from dataclasses import dataclass
from uuid import UUID

from contracts.vocabulary import CallStatus, ConversationMode
from edge.domain.streams import NO_STREAMS, Streams
from edge.domain.transfers import Transfer
from telephony.instructions import GREETING_TURN


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The state of a call, as far as the next instruction depends on it. Read from the log."""

    call_id: UUID
    language: str
    attempt: int
    """The number of the call's last attempt."""
    status: CallStatus
    is_line_open: bool
    """Whether this attempt is live and no hang-up was requested."""
    last_turn: int = GREETING_TURN
    """The last turn that this attempt's utterances have claimed."""
    claimed_turn: int | None = None
    """The turn that this very utterance claimed earlier; none if it is new."""
    has_ended: bool = False
    """Whether the conversation of this attempt has ended."""
    has_failed_audio: bool = False
    """Whether voice has failed to synthesize any sentence of the call."""
    remainder: str | None = None
    """The unplayed remainder that `ReadRemainder` requested: empty if nothing is unplayed, none if it was not read."""
    last_turn_sequence: int = 0
    """The sequence of the `speech.heard` of `last_turn`; 0: the greeting has none."""
    claimed_turn_sequence: int = 0
    """The sequence of the `speech.heard` of `claimed_turn`."""
    message: str | None = None
    """The message to the machine that answered, while it is left; none while a person may be on the line."""
    is_after_beep: bool = False
    """Whether the beep of the machine was heard."""
    has_failed_message: bool = False
    """Whether voice has failed to synthesize the message in this attempt."""
    digits: str = ""
    """The keys that the reply to `last_turn` requests, and that were not pressed."""
    has_sent_digits: bool = False
    """Whether the keys that it requests were pressed."""
    opt_out_key: str | None = None
    """The key by which the callee asks for no more calls; none if no key is heard."""
    mode: ConversationMode = ConversationMode.TURN_BASED
    voice: str | None = None
    """As the call asks for it."""
    streams: Streams = NO_STREAMS
    """Of a live conversation, when it is answered, and after each stream and transfer."""
    is_transferring: bool = False
    """Whether the callee is being connected, or is, with a person of the company."""
    transfer: Transfer | None = None
    """The newest transfer of the attempt, if the occurrence may concern it."""

    @property
    def pending_transfer(self) -> Transfer | None:
        """The transfer that begins now, or is in progress: the callee has claimed no turn after its announcement."""
        is_pending = self.transfer and self.transfer.status is None and self.transfer.turn == self.last_turn
        return self.transfer if is_pending else None

    def sequence_of(self, turn: int) -> int:
        """Returns the sequence of the turn's `speech.heard`, or 0 if it is not known."""
        if turn == self.claimed_turn:
            return self.claimed_turn_sequence
        return self.last_turn_sequence if turn == self.last_turn else 0
