"""The inputs of the state machine. Each is named after the message that it comes from.

Inputs about an attempt carry its number; those of another attempt are ignored. That the provider accepted an attempt
(``dial.placed``), or may have (``dial.unknown``), is no input: callbacks follow, or a settlement at the deadline.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.transfers import TransferStatus
from contracts.vocabulary import AnsweredBy, Disposition, TelephonyStatus

OPT_OUT_PHRASE_SECONDS = 6.0
"""How long the network takes at most to speak `contracts.phrases.OPTED_OUT`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequested:
    """A request for a call, not before `scheduled_at` if that is given."""

    scheduled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCancelRequested:
    """A command not to call, or to hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRetryRequested:
    """A command to dial an ended call once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChangeRequested:
    """A command to change the scheduled time, the terms, or neither: then it changes the metadata alone."""

    scheduled_at: datetime | None = None
    changes_terms: bool = False

    @property
    def is_metadata_only(self) -> bool:
        """Whether the change affects neither when the call is dialled nor how; it is allowed until the call ends."""
        return self.scheduled_at is None and not self.changes_terms


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue:
    """A deadline has passed; it counts only if it is the deadline of the present state.

    `is_number_free`: it is early, because the number for which the call waited is free. `is_campaign_finished`: it is
    early, because the campaign is finished.
    """

    deadline_at: datetime
    is_number_free: bool = False
    is_campaign_finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionGranted:
    """A slot was granted for the attempt."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRefused:
    """The attempt was undialled. `is_permanent`: dialling again cannot succeed."""

    attempt: int
    is_permanent: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialLookedUp:
    """The provider's answer to a settlement question. Without a status, the provider has no such attempt."""

    attempt: int
    status: TelephonyStatus | None
    duration_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelephonyStatusReported:
    """One callback of the telephone network. `is_permanent`: dialling again cannot succeed."""

    attempt: int
    status: TelephonyStatus
    duration_seconds: int | None = None
    is_permanent: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerClassified:
    """The result of answering-machine detection."""

    attempt: int
    answered_by: AnsweredBy
    is_after_beep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReported:
    """The message to a machine begins, or was played to its end."""

    attempt: int
    is_finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRecognized:
    """The callee spoke after a machine verdict, as a person does."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOutKeyPressed:
    """The callee asked for no more calls by a key. The line is closed after a phrase that the network speaks."""

    attempt: int

    @property
    def ending(self) -> "ConversationEnded":
        """The end of the conversation that follows."""
        return ConversationEnded(
            attempt=self.attempt, disposition=Disposition.OPT_OUT, goodbye_seconds=OPT_OUT_PHRASE_SECONDS
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStarted:
    """The provider was instructed to connect the callee with a person, which ends after `longest` at the latest."""

    attempt: int
    turn: int
    longest: timedelta
    """The time in which the person is reached, and that in which both may talk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferAnswered:
    """The person has answered, and accepted the callee unless `is_accepted` is false."""

    attempt: int
    turn: int
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEnded:
    """The transfer is over."""

    attempt: int
    turn: int
    status: TransferStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEnded:
    """The conversation is over; playing the last words takes `goodbye_seconds`."""

    attempt: int
    disposition: Disposition
    goodbye_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackScheduled:
    """The callee asked to be called again at `at`. `number`: see `call_orchestrator.domain.states.Callback`."""

    attempt: int
    at: datetime
    number: int


Command = CallRequested | CallCancelRequested | CallRetryRequested | CallChangeRequested
MessageInput = MessageReported | PersonRecognized
TransferInput = TransferStarted | TransferAnswered | TransferEnded
AttemptInput = (
    DialRefused
    | DialLookedUp
    | TelephonyStatusReported
    | AnswerClassified
    | MessageInput
    | TransferInput
    | OptOutKeyPressed
    | ConversationEnded
    | CallbackScheduled
)
Input = Command | TimerDue | AdmissionGranted | AttemptInput
