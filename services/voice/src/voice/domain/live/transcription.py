"""ElevenLabs' realtime transcription (`scribe_v2_realtime`): messages to values and back.

The socket is `wss://api.elevenlabs.io/v1/speech-to-text/realtime` with the query of `connection_query`. Audio is sent
without a pause: a session that receives none answers seconds late. With the strategy `manual`, the transcript of a
piece is final after a commit; the vendor commits by itself after 90 seconds.
"""

import json
import math
from dataclasses import dataclass
from enum import StrEnum

from voice.domain.live.vendor_messages import (
    Malformed,
    MalformedReason,
    encode_audio,
    parse_object,
    text_of,
)

MODEL = "scribe_v2_realtime"
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_PREVIOUS_TEXT = 50
MAX_KEYTERMS = 50
MAX_KEYTERM_LENGTH = 20
_SAMPLE_RATE = 8000


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The session accepts audio."""

    session_id: str


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """What was understood since the last commit; each replaces the one before."""

    text: str


@dataclass(frozen=True, slots=True)
class CommittedTranscript:
    """The final text of the audio up to a commit; empty if there was no speech.

    `confidence` is the geometric mean of the words' probabilities, 0–1; none if the vendor sent no words.
    """

    text: str
    language: str | None = None
    confidence: float | None = None


class ErrorKind(StrEnum):
    """The errors of a session, in the vendor's words."""

    ERROR = "error"
    AUTH = "auth_error"
    QUOTA_EXCEEDED = "quota_exceeded"
    COMMIT_THROTTLED = "commit_throttled"
    UNACCEPTED_TERMS = "unaccepted_terms"
    RATE_LIMITED = "rate_limited"
    QUEUE_OVERFLOW = "queue_overflow"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    SESSION_TIME_LIMIT_EXCEEDED = "session_time_limit_exceeded"
    INPUT = "input_error"
    INVALID_REQUEST = "invalid_request"
    CHUNK_SIZE_EXCEEDED = "chunk_size_exceeded"
    INSUFFICIENT_AUDIO_ACTIVITY = "insufficient_audio_activity"
    TRANSCRIBER = "transcriber_error"


@dataclass(frozen=True, slots=True)
class TranscriptionError:
    """The session reports an error. After a fatal one, the session is of no use any more."""

    kind: ErrorKind
    message: str = ""

    @property
    def is_fatal(self) -> bool:
        """Whether the session has to be replaced."""
        return self.kind not in _HARMLESS

    @property
    def may_reopen(self) -> bool:
        """Whether a new session may succeed; the account or the request does not prevent it."""
        return self.kind not in _PERMANENT


@dataclass(frozen=True, slots=True)
class Ignored:
    """A valid message that needs no answer, by its type."""

    message_type: str


TranscriptionMessage = (
    SessionStarted | PartialTranscript | CommittedTranscript | TranscriptionError | Ignored | Malformed
)

_HARMLESS = frozenset(
    {ErrorKind.COMMIT_THROTTLED, ErrorKind.INSUFFICIENT_AUDIO_ACTIVITY, ErrorKind.INPUT, ErrorKind.CHUNK_SIZE_EXCEEDED}
)
_PERMANENT = frozenset(
    {ErrorKind.AUTH, ErrorKind.QUOTA_EXCEEDED, ErrorKind.UNACCEPTED_TERMS, ErrorKind.INVALID_REQUEST}
)
_ERRORS = {kind.value: kind for kind in ErrorKind} | {
    "unaccepted_terms_error": ErrorKind.UNACCEPTED_TERMS  # the name in the vendor's SDK
}


def connection_query(
    *, language: str, model: str = MODEL, keyterms: tuple[str, ...] = (), is_vendor_deciding: bool = False
) -> list[tuple[str, str]]:
    """Returns the query parameters of a session. `language` is a BCP 47 tag, for example `es-MX`.

    `keyterms` are words that the transcriber may expect: the first 50 of at most 20 characters. With
    `is_vendor_deciding`, the vendor decides where a piece ends, without commits; for comparison only.
    """
    query = [
        ("model_id", model),
        ("audio_format", "ulaw_8000"),
        ("commit_strategy", "vad" if is_vendor_deciding else "manual"),
        ("language_code", language.partition("-")[0].lower()),
    ]
    terms = [term for term in keyterms if 0 < len(term) <= MAX_KEYTERM_LENGTH]
    return query + [("keyterms", term) for term in terms[:MAX_KEYTERMS]]


def audio(audio: bytes, *, is_commit: bool = False, previous_text: str | None = None) -> str:
    """Returns the message with audio of the callee: mu-law, 8 kHz, of any length.

    A commit may have no audio. `previous_text` is allowed in the first message of a session only; its last 50
    characters are sent, from a word on.
    """
    message: dict[str, object] = {
        "message_type": "input_audio_chunk",
        "audio_base_64": encode_audio(audio),
        "commit": is_commit,
        "sample_rate": _SAMPLE_RATE,
    }
    if previous_text:
        message["previous_text"] = _end_of(previous_text)
    return json.dumps(message)


def parse(text: str | bytes) -> TranscriptionMessage:
    """Returns what the vendor said. Raises nothing."""
    message = parse_object(text, max_bytes=MAX_MESSAGE_BYTES)
    if isinstance(message, Malformed):
        return message
    message_type = text_of(message, "message_type")
    if message_type is None:
        return Malformed(MalformedReason.UNKNOWN_EVENT)
    if message_type == "session_started":
        return SessionStarted(text_of(message, "session_id") or "")
    if kind := _ERRORS.get(message_type):
        return TranscriptionError(kind, text_of(message, "error") or "")
    if message_type not in {"partial_transcript", "committed_transcript", "committed_transcript_with_timestamps"}:
        return Ignored(message_type)
    transcript = text_of(message, "text")
    if transcript is None:
        return Malformed(MalformedReason.WRONG_FIELD)
    if message_type == "partial_transcript":
        return PartialTranscript(transcript.strip())
    return CommittedTranscript(transcript.strip(), text_of(message, "language_code"), _confidence(message.get("words")))


def _confidence(words: object) -> float | None:
    found = [word.get("logprob") for word in words if isinstance(word, dict)] if isinstance(words, list) else []
    logarithms = [value for value in found if isinstance(value, float | int) and -1e6 < value <= 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def _end_of(text: str) -> str:
    end = text.strip()[-MAX_PREVIOUS_TEXT:]
    if len(end) < len(text.strip()) and " " in end:
        end = end.partition(" ")[2]
    return end
