"""What happens on the line of a call, on which `edge.domain.dialogue` decides."""

from dataclasses import dataclass
from uuid import UUID

from contracts.transfers import TransferStatus
from telephony.instructions import Utterance


@dataclass(frozen=True, slots=True)
class Answered:
    """The callee has answered."""

    attempt: int


@dataclass(frozen=True, slots=True)
class UtteranceReceived:
    """The callee has spoken, or stayed silent. `turn` is the turn that the webhook names."""

    attempt: int
    turn: int
    utterance: Utterance
    is_after_spoken_text: bool
    """Whether all of the reply before was played or spoken: the last instruction was `SpeakText` or `Listen`."""
    after_sequence: int = 0
    """The sequence that the URL names for the turn before; 0: none."""

    @property
    def known_turn(self) -> int:
        """The turn whose `speech.heard` has `after_sequence`."""
        return self.turn - 1


@dataclass(frozen=True, slots=True)
class RemainderReported:
    """Voice could not synthesize `turn` from `sentence` on and has redirected the call."""

    attempt: int
    turn: int
    sentence: int
    after_sequence: int = 0
    """The sequence that the URL names for the turn; 0: none."""

    @property
    def known_turn(self) -> int:
        """The turn whose `speech.heard` has `after_sequence`."""
        return self.turn


@dataclass(frozen=True, slots=True)
class MessageAwaited:
    """The network asks for the message to a machine, or reports that it has played the message to its end."""

    attempt: int
    is_finished: bool
    is_after_spoken_text: bool


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A media stream of the call has ended. `repetition`: how often `AskAgain` was the answer to that."""

    attempt: int
    generation: int
    repetition: int = 0


@dataclass(frozen=True, slots=True)
class TransferReported:
    """The leg to a person has ended, or was not answered. `turn`: in which the transfer was announced."""

    attempt: int
    turn: int
    status: TransferStatus
    seconds: int
    is_bridged: bool | None = None

    def event_id(self, call_id: UUID) -> str:
        """Returns the id of the utterance that follows, which a repeated webhook shares."""
        return f"{call_id}/{self.attempt}/transfer/{self.turn}/heard"


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A person has sent a text over REST in place of an utterance. It belongs to the call's last attempt."""

    utterance: Utterance


Occurrence = (
    Answered | UtteranceReceived | RemainderReported | MessageAwaited | StreamEnded | TransferReported | TextReceived
)
