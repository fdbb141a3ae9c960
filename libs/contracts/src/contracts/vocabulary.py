"""The enumerations that all services share. Standard library only, so that a pure domain may import them."""

from enum import StrEnum
from typing import Literal, get_args

MESSAGE_TURN = 999_999_999
"""The turn of the message to a machine, in events about speech: no conversation has as many turns."""


class CallStatus(StrEnum):
    """The status of a call, as users see it."""

    PENDING = "pending"
    DIALING = "dialing"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELED = "canceled"
    VOICEMAIL = "voicemail"
    EXPIRED = "expired"

    @property
    def is_live(self) -> bool:
        """Whether an attempt is in progress; the call then occupies a slot."""
        return self in LIVE_STATUSES

    @property
    def is_final(self) -> bool:
        """Whether the call has ended."""
        return self in FINAL_STATUSES


LIVE_STATUSES = frozenset({CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS})
FINAL_STATUSES = frozenset(CallStatus) - LIVE_STATUSES - {CallStatus.PENDING}

RetryableStatus = Literal[
    CallStatus.NO_ANSWER, CallStatus.BUSY, CallStatus.FAILED, CallStatus.VOICEMAIL, CallStatus.EXPIRED
]
RETRYABLE_STATUSES: frozenset[CallStatus] = frozenset(get_args(RetryableStatus))
"""The statuses from which a command may have a call dialled again."""


class CampaignStatus(StrEnum):
    """The status of a campaign, as users see it."""

    UNDECLARED = "undeclared"
    """It was never created: it has no terms, and runs unless it is paused."""
    DRAFT = "draft"
    """It was created and not started."""
    RUNNING = "running"
    """It was started. Its period may still lie ahead, or be over."""
    PAUSED = "paused"
    FINISHED = "finished"
    """No call of it is granted a slot again, and requests for it are refused."""


class ConversationMode(StrEnum):
    """How conversations are held: in turns, over a stream of audio, or over one of text (docs/live.md)."""

    TURN_BASED = "turn_based"
    LIVE = "live"
    RELAY = "relay"
    """The telephone provider transcribes and speaks."""


class MediaClosedReason(StrEnum):
    """Why a process closed a media stream, or found it closed."""

    HANG_UP = "hang_up"
    """The provider ended it: the line is closed, or the call was redirected."""
    GOODBYE = "goodbye"
    """The conversation is over, and its last words were heard."""
    DRAINED = "drained"
    """The process ends; another one continues."""
    DROPPED = "dropped"
    SUPERSEDED = "superseded"
    """A stream of a higher generation has begun."""
    TRANSCRIPTION = "transcription"
    """The callee's words could not be transcribed."""
    SYNTHESIS = "synthesis"
    MALFORMED = "malformed"
    """The provider's messages could not be read, or it stopped reading ours."""
    OPTED_OUT = "opted_out"
    """The callee pressed the opt-out key; edge appends that, and says goodbye."""
    TRANSFERRED = "transferred"
    UNANSWERED = "unanswered"
    """No reply to the callee came: conversation is down. Edge apologizes, and ends the call."""


class MediaLostReason(StrEnum):
    """What became of a media stream of which no process reported the end."""

    DIED = "died"
    """Its process ended without a word."""
    NEVER_OPENED = "never_opened"
    """No process accepted it."""


class DegradationReason(StrEnum):
    """Why a live conversation goes on in turns."""

    NOT_CONFIGURED = "not_configured"
    """The installation has no address for media streams."""
    LOST_STREAMS = "lost_streams"
    """Too many of its streams ended by a failure."""
    TRANSCRIPTION = "transcription"
    SYNTHESIS = "synthesis"


class InterruptionReason(StrEnum):
    """What stopped a reply of the agent before its end."""

    WORDS = "words"
    """The callee spoke."""
    KEYS = "keys"
    TAKEOVER = "takeover"
    """Its stream ended. No build appends it: the next stream plays the rest. The stored schema keeps the value."""


class TelephonyStatus(StrEnum):
    """The status of one attempt as the telephone network reports it, in the order in which it can occur."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    CANCELED = "canceled"


class AnsweredBy(StrEnum):
    """Who or what answered, by answering-machine detection."""

    HUMAN = "human"
    MACHINE = "machine"
    FAX = "fax"
    UNKNOWN = "unknown"


class HangupReason(StrEnum):
    """Why the orchestrator requested a hang-up. It determines the final status of the call."""

    CANCELED = "canceled"
    VOICEMAIL = "voicemail"
    FAX = "fax"
    TOO_LONG = "too_long"
    CONCLUDED = "concluded"


class VoicemailDelivery(StrEnum):
    """How much of a message was left on the voicemail of the callee."""

    NONE = "none"
    """A machine answered, and the message has not begun."""
    CUT = "cut"
    """The message has begun; if the call has ended, the line closed before its end."""
    WHOLE = "whole"
    """The message was played to its end."""


CAMPAIGN_FINISHED = "its campaign is finished"
"""The reason of a call that ended because its campaign was finished."""
OUTCOME_UNKNOWN = "outcome unknown: the network cannot say"
"""The reason of a call that ended because the network could not say what became of its attempt."""


class RetryOutcome(StrEnum):
    """The ends of an attempt for which a retry policy may have a rule."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    VOICEMAIL = "voicemail"
    HUNG_UP_EARLY = "hung_up_early"
    """A person answered and hung up soon, and the conversation has no disposition."""
    GOAL_MISSED = "goal_missed"
    """The conversation has a disposition that is not the goal of the campaign, and after which a call may continue."""


class RefusalCode(StrEnum):
    """The reasons of a refusal that a client may need to distinguish."""

    RETRIES_EXHAUSTED = "retries_exhausted"
    """A retry was requested, and the call has been dialled ``max_retries`` times after the first."""
    NO_SUCH_CALL = "no_such_call"
    """No request that was stored before the command created the call."""
    DO_NOT_CALL = "do_not_call"
    """The number is on the do-not-call list."""
    BACKLOG_FULL = "backlog_full"
    """So many calls wait for a slot that no further request is accepted. The same request may be accepted later."""


class RequestResult(StrEnum):
    """What became of a request that is no longer in REQUESTS."""

    ACCEPTED = "accepted"
    """It was carried out, or its call existed already."""
    REFUSED = "refused"
    DEAD_LETTER = "dead_letter"
    """It could not be processed. Its dead letter has a sealed copy of it."""
    DROPPED = "dropped"
    """It was a dead letter, which an operator dropped."""
    RESENT = "resent"
    """It was a dead letter, and an operator published it again, on a later sequence."""
    PERSON_ERASED = "person_erased"
    """It was a dead letter, and its person was erased."""


class Disposition(StrEnum):
    """How a conversation ended, in call-centre terms."""

    CONFIRMED = "confirmed"
    DECLINED = "declined"
    RESCHEDULED = "rescheduled"
    CALLBACK_REQUESTED = "callback_requested"
    ANSWERED = "answered"
    WRONG_NUMBER = "wrong_number"
    OPT_OUT = "opt_out"
    TRANSFERRED = "transferred"
    UNRESPONSIVE = "unresponsive"
    TECHNICAL_FAILURE = "technical_failure"
    """The callee was reached, but the agent could not conduct the conversation."""


class DoNotCallSource(StrEnum):
    """What led to an entry of a do-not-call list."""

    REQUEST = "request"
    """An operator, over REST."""
    IMPORT = "import"
    OPT_OUT = "opt_out"
    """The person said so in a call."""
    KEY = "key"
    """The person pressed the opt-out key in a call."""


SUPPLIED_LANGUAGES = ("es", "en")
"""Primary language tags with stock phrases and a fallback line."""

OptOutKey = Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#"]
"""A key of a telephone by which a person may ask for no more calls."""
OPT_OUT_KEY: OptOutKey = "9"
"""The opt-out key of calls whose campaign sets none."""
NO_OPT_OUT_KEY: Literal["off"] = "off"
MAX_DIALS = 64
"""How many of the newest dials of a number are kept. So a frequency cap of more calls is refused: it would not hold."""


class ErasureReason(StrEnum):
    """Why a person was erased."""

    REQUEST = "request"
    """The person, or an operator, asked for it."""
    RETENTION = "retention"
    """The data was kept as long as its campaigns permit."""


class Purpose(StrEnum):
    """Why a person is called. Calling hours and frequency caps differ by it (docs/compliance.md)."""

    SALES = "sales"
    SERVICE = "service"
    COLLECTION = "collection"
    RESEARCH = "research"
    EMERGENCY = "emergency"
    """Danger to life, health or property: no calling hours and no caps."""


class ReplySource(StrEnum):
    """What produced a reply: the model, or a fallback (docs/adr/0011)."""

    MODEL = "model"
    RETRY = "retry"
    """The same model, called a second time."""
    SECOND_MODEL = "second_model"
    CACHED_ANSWER = "cached_answer"
    """The model's answer to the same question in another call."""
    SCRIPT_LINE = "script_line"
    """The paragraph of the script that begins with ``Fallback:``."""
    LAST_RESORT = "last_resort"
    """The language's built-in line for this case."""
    STOCK_PHRASE = "stock_phrase"
    """A fixed phrase; no model was called, because the callee was silent."""
    SCREENING_ANSWER = "screening_answer"
    """The greeting, for a call-screening assistant that asked who calls; without sentences if it asked again."""


class SpeechFallback(StrEnum):
    """What replaced the requested voice (docs/adr/0011)."""

    SECOND_VOICE = "second_voice"
    """Another model or another voice of the vendor."""
    CLIP = "clip"
    """A stored clip of the same text in any voice."""
    SAY = "say"
    """The telephone provider's own voice."""
