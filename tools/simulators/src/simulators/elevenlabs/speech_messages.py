"""The messages of `multi-stream-input`: its query, what a client may send, and what the vendor answers."""

import base64
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError
from starlette.datastructures import QueryParams

from simulators.elevenlabs.alignment import SpokenPiece
from simulators.elevenlabs.audio_formats import DEFAULT_FORMAT
from simulators.elevenlabs.synthesis import MAX_CHARACTERS, Refused, VoiceSettings

MAX_CONTEXTS = 5
_UNREADABLE = "Could not parse input message, make sure it is a json and follows the schema outlined in protocol."
_TOO_MANY_CONTEXTS = (
    f"Maximum simultaneous contexts per WebSocket connection exceeded ({MAX_CONTEXTS}). "
    "Please close an existing context before opening a new one."
)
_Length = Annotated[float, Field(ge=50, le=500)]


def _null_as_empty(text: object) -> object:
    return "" if text is None else text


class GenerationConfig(BaseModel):
    """How much text is buffered before the first, second, … generation; the last value repeats."""

    chunk_length_schedule: Annotated[list[_Length], Field(min_length=1, max_length=50)] = [120, 160, 250, 290]


class ClientMessage(BaseModel):
    """What a client sends. Fields without an effect here are accepted and ignored."""

    text: Annotated[str, BeforeValidator(_null_as_empty), Field(max_length=MAX_CHARACTERS)] = ""
    context_id: str = Field(
        default="default", min_length=1, max_length=100, validation_alias=AliasChoices("context_id", "contextId")
    )
    voice_settings: VoiceSettings | None = None
    generation_config: GenerationConfig | None = None
    api_key: str | None = Field(default=None, validation_alias=AliasChoices("xi-api-key", "xi_api_key"))
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None


class SpeechQuery(BaseModel):
    """The query of the handshake. Fields without an effect here are accepted and ignored."""

    model_id: str = "eleven_multilingual_v2"
    language_code: str | None = None
    output_format: str = DEFAULT_FORMAT
    auto_mode: bool = False
    inactivity_timeout: int = Field(default=20, ge=1, le=180)
    sync_alignment: bool = False
    enable_ssml_parsing: bool = False
    enable_logging: bool = True
    apply_text_normalization: Literal["auto", "on", "off"] = "auto"
    seed: int | None = Field(default=None, ge=0, le=4294967295)


def parse_query(parameters: QueryParams) -> SpeechQuery:
    """Returns the query of a handshake. Raises Refused."""
    try:
        return SpeechQuery.model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise Refused(422, "invalid_parameters", f"{first['loc'][0]}: {first['msg']}") from error


def parse_message(text: str) -> ClientMessage:
    """Returns the message of a client. Raises Refused."""
    try:
        return ClientMessage.model_validate_json(text)
    except ValidationError as error:
        raise Refused(400, "invalid_input_message", _UNREADABLE) from error


def too_many_contexts() -> Refused:
    """Returns the refusal of a context above the limit."""
    return Refused(400, "max_active_conversations", _TOO_MANY_CONTEXTS)


def inactive(seconds: int) -> Refused:
    """Returns the end of a socket on which the client has been silent."""
    message = f"Have not received a new text input within the timeout of {float(seconds)} seconds. "
    return Refused(408, "input_timeout_exceeded", message + "Streaming input terminated.")


def audio_message(context_id: str, piece: SpokenPiece) -> dict[str, Any]:
    """Returns the message with a piece of audio."""
    alignment = piece.relative_to_piece()
    return {
        "audio": base64.b64encode(piece.audio).decode(),
        "alignment": alignment,
        "normalizedAlignment": alignment,
        "contextId": context_id,
    }


def final_message(context_id: str) -> dict[str, Any]:
    """Returns the last message of a context."""
    return {"isFinal": True, "contextId": context_id}


def error_message(refused: Refused) -> dict[str, Any]:
    """Returns the message before the vendor closes the socket with 1008."""
    return {"message": refused.message, "error": refused.name, "code": 1008}
