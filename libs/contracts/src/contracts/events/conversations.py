"""Utterances and replies. Turn 0 is the greeting; turn n is the n-th utterance of the callee and its reply."""

from typing import Annotated, ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from contracts.event import CallEvent, Service
from contracts.instants import Instant
from contracts.personal import PERSONAL, PersonalText, PersonalTexts
from contracts.vocabulary import Disposition, InterruptionReason, ReplySource


class SpeechHeard(CallEvent):
    """One utterance of the callee; an empty text is a silence that reached its time limit."""

    event_name: ClassVar[str] = "speech.heard"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE, Service.VOICE})

    attempt: int
    turn: int = Field(ge=1)
    text: PersonalText
    confidence: float | None = Field(default=None, ge=0, le=1)
    language: str
    segments: int | None = Field(
        default=None, description="live: how many pieces the transcript consists of; null: in turns, or a text"
    )
    spoken_seconds: float | None = Field(default=None, description="live: from its first to its last sound")
    endpoint_seconds: float | None = Field(
        default=None, description="live: from its last sound to the decision that the turn is over"
    )
    transcription_seconds: float | None = Field(
        default=None, description="live: from the last request for the transcript to its arrival"
    )
    granted_sequence: int | None = Field(
        default=None,
        description="`Call.granted_sequence` as the writer has read it, so that a reader of the attempt need not read "
        "the call first; null: not known",
    )
    previous_sequence: int | None = Field(
        default=None,
        description="live: of the newest event of the call that the writer knew, so that a reader who has all events "
        "until then need not read again; null: not known",
    )


class SpeechInterrupted(CallEvent):
    """The callee did not hear the reply of a turn to its end.

    It precedes the `speech.heard` of the words that interrupted it. The history that the model reads ends where the
    sound ended.
    """

    event_name: ClassVar[str] = "speech.interrupted"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int
    turn: int = Field(description="the turn whose reply was interrupted; 0: the greeting")
    sentence: int = Field(description="the sentence that was being heard, from 0")
    heard: PersonalText = Field(description="all words of the reply that were heard; empty: none")
    heard_seconds: float = Field(description="how much of that sentence was heard")
    reason: InterruptionReason


class TurnLatencies(BaseModel):
    """The parts of the time from the callee's last sound to the first sound of the reply, in seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint_seconds: float | None = Field(default=None, description="until the decision that the turn is over")
    log_seconds: float | None = Field(default=None, description="from then until `speech.heard` is stored")
    first_sentence_seconds: float | None = Field(default=None, description="from then until a sentence is requested")
    synthesis_seconds: float | None = Field(default=None, description="from then until its first audio")
    playout_seconds: float | None = Field(default=None, description="from then until its first frame is sent")


class SpeechPlayed(CallEvent):
    """The reply of a turn was played in a live conversation, to its end or until it was interrupted."""

    event_name: ClassVar[str] = "speech.played"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int
    turn: int
    is_complete: bool
    seconds: float = Field(description="how much of it was heard")
    pauses: int = Field(default=0, description="how often a sound of the callee paused it")
    resumes: int = Field(default=0, description="how often it went on after that")
    backchannels: int = Field(default=0, description="how often the callee only signalled attention, such as “mm-hm”")
    latencies: TurnLatencies = TurnLatencies()


class ToolCall(BaseModel):
    """One tool call of the model."""

    model_config = ConfigDict(frozen=True)

    name: str
    arguments: dict[str, str]


class ReplyGenerated(CallEvent):
    """The reply of a turn is complete: no more sentences follow. Its text is all sentences of the turn."""

    event_name: ClassVar[str] = "reply.generated"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})
    version: ClassVar[int] = 2

    attempt: int
    turn: int
    text: PersonalText
    sentences: int = Field(description="how many sentences the turn has")
    last_sentence: PersonalText | None = Field(
        default=None, description="the last sentence, if no audio.requested has it; voice speaks it as well"
    )
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_seconds: float | None = None
    latency_seconds: float = Field(description="from the start of the turn to the end of the reply's text")
    is_fallback: bool = Field(
        default=False,
        validation_alias=AliasChoices("is_fallback", "fallback"),
        description="the model failed; the text is not a complete answer of a model",
    )
    source: ReplySource = Field(
        default=ReplySource.MODEL,
        validation_alias=AliasChoices("source", "step"),
        description="what produced the reply",
    )
    tool_calls: Annotated[tuple[ToolCall, ...], PERSONAL] = ()
    digits: PersonalText = Field(
        default="", description="keys to press once the text was heard: 0–9, * and #, and w for half a second"
    )


class CallbackScheduled(CallEvent):
    """The callee asked to be called again. The last one of an attempt counts.

    The call is dialled once more after the attempt, at `at` or the next instant that is permitted then.
    """

    event_name: ClassVar[str] = "conversation.callback_scheduled"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})

    attempt: int
    turn: int
    number: int = Field(ge=1, description="counts the callbacks of the attempt; that with the highest one counts")
    at: Instant = Field(description="the first instant at which a dial is permitted, as far as it was known then")
    asked_at: Instant = Field(description="the instant that the callee asked for")
    local_time: str = Field(description="`at` in the time of the callee, with its offset from UTC (ISO 8601)")
    reason: PersonalText = Field(description="why, in the words of the model")


class ConversationEnded(CallEvent):
    """The conversation is over; the last words are those of ``turn``."""

    event_name: ClassVar[str] = "conversation.ended"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})

    attempt: int
    turn: int
    disposition: Disposition
    summary: PersonalText
    fields: PersonalTexts = Field(default={}, description="what the model recorded with the tool note(field, value)")
    goodbye_seconds: float = Field(default=0.0, description="estimated duration of the last words")
