"""ElevenLabs' synthesis over one socket (`multi-stream-input`): messages to values and back.

A context is one reply: its sentences share their prosody. A socket has at most five contexts; voice and model belong to
the socket. The times of an alignment are relative to the chunk of audio that they come with (`RunningAlignment` in
`alignments` adds them up).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from voice.domain.live.alignments import Alignment
from voice.domain.live.vendor_messages import (
    Malformed,
    MalformedReason,
    decode_audio,
    object_of,
    parse_object,
    text_of,
)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_CONTEXTS = 5
MAX_INACTIVITY_SECONDS = 180
OUTPUT_FORMAT = "ulaw_8000"
_MAX_CHARACTERS = 20_000
_MAX_MILLISECONDS = 3_600_000


@dataclass(frozen=True, slots=True)
class SpokenAudio:
    """A chunk of a context's audio: mu-law, 8 kHz. `alignment` is relative to the chunk; the vendor may send none."""

    context: str
    audio: bytes
    alignment: Alignment | None


@dataclass(frozen=True, slots=True)
class ContextFinished:
    """All audio of the context has been sent."""

    context: str


@dataclass(frozen=True, slots=True)
class SynthesisError:
    """The vendor refused something. The socket closes after it, with few exceptions."""

    message: str
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A valid message without audio, for example the answer to a flush."""


SpeechMessage = SpokenAudio | ContextFinished | SynthesisError | Ignored | Malformed


def connection_query(
    *, model: str, language: str | None = None, inactivity_seconds: int = MAX_INACTIVITY_SECONDS
) -> list[tuple[str, str]]:
    """Returns the query parameters of a socket. `language` is a BCP 47 tag; none: the vendor finds it out."""
    query = [
        ("model_id", model),
        ("output_format", OUTPUT_FORMAT),
        ("inactivity_timeout", str(min(inactivity_seconds, MAX_INACTIVITY_SECONDS))),
        ("sync_alignment", "true"),
    ]
    return query + ([("language_code", language.partition("-")[0].lower())] if language else [])


def begin(context: str, *, voice_settings: Mapping[str, float | bool] | None = None) -> str:
    """Returns the message that begins a context."""
    message: dict[str, object] = {"text": " ", "context_id": context}
    if voice_settings:
        message["voice_settings"] = dict(voice_settings)
    return json.dumps(message)


def speak(context: str, text: str, *, is_flushed: bool = True) -> str:
    """Returns the message that speaks a sentence. Without the flush, short texts wait for more."""
    message: dict[str, object] = {"text": text.strip() + " ", "context_id": context}
    if is_flushed:
        message["flush"] = True
    return json.dumps(message)


def flush(context: str) -> str:
    """Returns the message that has the text sent so far spoken."""
    return json.dumps({"context_id": context, "flush": True})


def close_context(context: str) -> str:
    """Returns the message that ends a context. `ContextFinished` follows its last audio."""
    return json.dumps({"context_id": context, "close_context": True})


def keep_alive(context: str) -> str:
    """Returns the message that resets the context's inactivity limit."""
    return json.dumps({"text": "", "context_id": context})


def close_socket() -> str:
    """Returns the message that ends all contexts and the socket."""
    return json.dumps({"close_socket": True})


def parse(text: str | bytes) -> SpeechMessage:
    """Returns what the vendor said. Raises nothing."""
    message = parse_object(text, max_bytes=MAX_MESSAGE_BYTES)
    if isinstance(message, Malformed):
        return message
    context = text_of(message, "contextId") or text_of(message, "context_id")
    if "error" in message:
        return SynthesisError(text_of(message, "message") or text_of(message, "error") or "unknown", context)
    if context is None:
        return Malformed(MalformedReason.WRONG_FIELD)
    if message.get("audio") is None:
        is_final = message.get("isFinal") is True or message.get("is_final") is True
        return ContextFinished(context) if is_final else Ignored()
    audio = decode_audio(message["audio"])
    if isinstance(audio, Malformed):
        return audio
    return SpokenAudio(context, audio, _alignment(object_of(message, "alignment")))


def _alignment(fields: dict[str, object]) -> Alignment | None:
    """Returns the alignment; none if there is none or it is not consistent: the audio is played all the same."""
    characters, starts, durations = (fields.get(name) for name in ("chars", "charStartTimesMs", "charDurationsMs"))
    if not (isinstance(characters, list) and isinstance(starts, list) and isinstance(durations, list)):
        return None
    if not 0 < len(characters) == len(starts) == len(durations) <= _MAX_CHARACTERS:
        return None
    if not all(isinstance(character, str) and len(character) == 1 for character in characters):
        return None
    if not all(_is_time(time) for time in starts) or not all(_is_time(time) for time in durations):
        return None
    ends = [(start + duration) / 1000 for start, duration in zip(starts, durations, strict=True)]
    return Alignment("".join(characters), tuple(start / 1000 for start in starts), tuple(ends))


def _is_time(value: object) -> bool:
    return type(value) in {int, float} and 0 <= value <= _MAX_MILLISECONDS  # type: ignore[operator]
