"""Requests for speech over HTTP and WebSockets: what they may contain, and how many run at a time."""

import itertools

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from simulators.elevenlabs.account import LANGUAGES_OF_MODEL
from simulators.elevenlabs.audio_formats import FORMATS, AudioFormat
from simulators.vendor_errors import elevenlabs_error

MAX_CHARACTERS = 40_000
# The vendor uses two names for the same refusal; clients must accept both.
_CONCURRENCY_ERRORS = ("too_many_concurrent_requests", "concurrent_limit_exceeded")


class VoiceSettings(BaseModel):
    """The only voice setting with an effect here: `speed`; 1 is the voice's normal speed."""

    speed: float | None = Field(default=None, ge=0.7, le=1.2)


class SynthesisRequest(BaseModel):
    """The body of a synthesis request. Fields without an effect here are accepted and ignored."""

    text: str
    model_id: str = "eleven_multilingual_v2"
    language_code: str | None = None
    voice_settings: VoiceSettings | None = None

    @property
    def speed(self) -> float:
        """The speed of the voice; 1 is its normal speed."""
        return (self.voice_settings and self.voice_settings.speed) or 1.0


class Refused(Exception):
    """A request that the vendor answers with an error: a document over HTTP, a message on a WebSocket."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.response = JSONResponse(elevenlabs_error(status, name, message), status)


class UnknownFormat(Refused):
    """An output format that does not exist, answered as a field that is not valid."""

    def __init__(self, name: str) -> None:
        message = "Input should be " + " or ".join(f"'{format_name}'" for format_name in FORMATS)
        super().__init__(422, "invalid_output_format", message)
        detail = {"type": "enum", "loc": ["query", "output_format"], "msg": message, "input": name}
        self.response = JSONResponse({"detail": [detail]}, 422)


class ConcurrencyLimit:
    """The limit of concurrent syntheses, as the vendor's plans define it."""

    def __init__(self, limit: int) -> None:
        self._available = limit
        self._error_names = itertools.cycle(_CONCURRENCY_ERRORS)

    def acquire(self) -> None:
        """Begins one synthesis. Raises Refused above the limit."""
        if self._available == 0:
            message = "You have reached the maximum number of concurrent requests of your subscription."
            raise Refused(429, next(self._error_names), message)
        self._available -= 1

    def release(self) -> None:
        """Ends one synthesis."""
        self._available += 1


def check_key(key: str | None, expected: str | None) -> None:
    """Raises Refused if there is no key, or another one than `expected`; None accepts any key."""
    if not key:
        message = "Neither authorization header nor xi-api-key received, please provide one."
        raise Refused(401, "needs_authorization", message)
    if expected not in (None, key):
        raise Refused(401, "invalid_api_key", "Invalid API key")


def check_model(model_id: str, language_code: str | None) -> None:
    """Raises Refused if the model does not exist or does not speak the language."""
    if model_id not in LANGUAGES_OF_MODEL:
        raise Refused(400, "model_not_found", f"A model with model ID {model_id} does not exist.")
    if language_code and language_code not in LANGUAGES_OF_MODEL[model_id]:
        message = f"Model {model_id} does not support language_code {language_code}."
        raise Refused(400, "unsupported_language", message)


def check_text(text: str) -> None:
    """Raises Refused if there is nothing to speak."""
    if not text.strip():
        raise Refused(400, "input_text_empty", "Input text should not be empty.")


def output_format(name: str) -> AudioFormat:
    """Returns the format of this name. Raises UnknownFormat."""
    if name not in FORMATS:
        raise UnknownFormat(name)
    return FORMATS[name]
