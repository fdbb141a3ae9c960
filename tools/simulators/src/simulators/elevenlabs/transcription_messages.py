"""The messages of realtime transcription: its query, what a client may send, and what the vendor answers."""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from starlette.datastructures import QueryParams

_Milliseconds = Annotated[int, Field(ge=50, le=2000)]
_MAX_PREVIOUS_TEXT = 50
_REPEATED = ("secondary_languages", "keyterms", "entity_detection", "entity_redaction")
AudioFormatName = Literal["pcm_8000", "pcm_16000", "pcm_22050", "pcm_24000", "pcm_44100", "pcm_48000", "ulaw_8000"]


class TranscriptionQuery(BaseModel):
    """The query of the handshake. Fields without an effect here are validated only."""

    model_id: Literal["scribe_v2_realtime"]
    audio_format: AudioFormatName = "pcm_16000"
    commit_strategy: Literal["manual", "vad"] = "manual"
    language_code: str | None = Field(default=None, min_length=2, max_length=3)
    secondary_languages: list[str] = []
    vad_silence_threshold_secs: float = Field(default=1.5, ge=0.3, le=3.0)
    vad_threshold: float = Field(default=0.4, ge=0.1, le=0.9)
    min_speech_duration_ms: _Milliseconds = 100
    min_silence_duration_ms: _Milliseconds = 100
    include_timestamps: bool = False
    include_language_detection: bool = False
    keyterms: Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=50)] = []
    no_verbatim: bool = False
    entity_detection: list[str] = []
    entity_redaction: list[str] = []
    filter_background_audio: bool = False
    enable_logging: bool = True

    @model_validator(mode="after")
    def _check_combinations(self) -> "TranscriptionQuery":
        if self.filter_background_audio and self.include_timestamps:
            raise ValueError("filter_background_audio cannot be combined with include_timestamps")
        return self

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio."""
        return int(self.audio_format.rpartition("_")[2])

    @property
    def bytes_per_second(self) -> int:
        """Bytes per second of the audio."""
        return self.sample_rate * (1 if self.audio_format == "ulaw_8000" else 2)


class InputAudioChunk(BaseModel):
    """What a client sends: audio, and whether what was received until now is committed."""

    message_type: Literal["input_audio_chunk"]
    audio_base_64: str
    commit: bool
    sample_rate: int
    previous_text: str | None = Field(default=None, max_length=_MAX_PREVIOUS_TEXT)

    def decode(self) -> bytes:
        """Returns the audio. Raises SessionError."""
        try:
            return base64.b64decode(self.audio_base_64, validate=True)
        except binascii.Error as error:
            raise SessionError("input_error", f"audio_base_64: {error}") from error


class SessionError(Exception):
    """What is answered with an error. `kind` is its message type; `is_fatal` ends the session."""

    def __init__(self, kind: str, message: str, *, is_fatal: bool = False) -> None:
        super().__init__(message)
        self.kind, self.is_fatal = kind, is_fatal


def parse_query(parameters: QueryParams) -> TranscriptionQuery:
    """Returns the query of a handshake. Raises SessionError."""
    values: dict[str, Any] = dict(parameters)
    values |= {name: parameters.getlist(name) for name in _REPEATED if name in parameters}
    try:
        return TranscriptionQuery.model_validate(values)
    except ValidationError as error:
        raise SessionError("invalid_request", _first_error(error)) from error


def parse_chunk(text: str) -> InputAudioChunk:
    """Returns the message of a client. Raises SessionError."""
    try:
        return InputAudioChunk.model_validate_json(text)
    except ValidationError as error:
        raise SessionError("input_error", _first_error(error)) from error


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*map(str, first["loc"][:1]), first["msg"]])


def session_started(session_id: str, query: TranscriptionQuery) -> dict[str, Any]:
    """Returns the first message of a session."""
    config = query.model_dump(
        exclude={"secondary_languages", "entity_detection", "entity_redaction", "filter_background_audio"}
    )
    return {
        "message_type": "session_started",
        "session_id": session_id,
        "config": {"sample_rate": query.sample_rate, **config},
    }


def error_message(kind: str, text: str) -> dict[str, Any]:
    """Returns an error of a session."""
    return {"message_type": kind, "error": text}
