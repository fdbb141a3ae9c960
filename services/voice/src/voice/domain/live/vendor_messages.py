"""JSON messages of vendors' sockets: decoded at a bounded cost, and without exceptions.

Each codec of this package returns a value for every message, also for one that is not valid. A message is refused
before it is decoded if it is too long.
"""

from binascii import Error, a2b_base64, b2a_base64
from dataclasses import dataclass
from enum import StrEnum

from pydantic_core import from_json


class MalformedReason(StrEnum):
    """Why a message was not understood."""

    TOO_LONG = "too_long"
    BINARY = "binary"
    """A binary message, where the protocol has only text. The socket's owner reports it; no codec returns it."""
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_EVENT = "unknown_event"
    WRONG_FIELD = "wrong_field"
    """A field is missing, or has another type than documented."""
    WRONG_BASE64 = "wrong_base64"
    WRONG_FORMAT = "wrong_format"
    """The audio is not mu-law with 8,000 samples a second in one channel."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is not valid. It has no effect; the socket's owner counts it."""

    reason: MalformedReason


def parse_object(text: str | bytes, *, max_bytes: int) -> dict[str, object] | Malformed:
    """Returns the JSON object of a message. `text` is a text message: decoded, or its UTF-8 bytes.

    pydantic_core's parser is the fastest of the locked ones: 0.7 µs for 20 ms of audio, against 2.2 µs of `json`.
    """
    if len(text) > max_bytes:
        return Malformed(MalformedReason.TOO_LONG)
    try:
        message = from_json(text)
    except (ValueError, TypeError):  # the latter: a text with half of a surrogate pair
        return Malformed(MalformedReason.NOT_JSON)
    return message if isinstance(message, dict) else Malformed(MalformedReason.NOT_AN_OBJECT)


def text_of(message: dict[str, object], name: str) -> str | None:
    """Returns a field that is a text; none if it is missing or is something else."""
    value = message.get(name)
    return value if isinstance(value, str) else None


def object_of(message: dict[str, object], name: str) -> dict[str, object]:
    """Returns a field that is an object; an empty one if it is missing or is something else."""
    value = message.get(name)
    return value if isinstance(value, dict) else {}


def decode_audio(value: object) -> bytes | Malformed:
    """Returns the bytes of a field in base64 (RFC 4648, section 4, with padding)."""
    if not isinstance(value, str):
        return Malformed(MalformedReason.WRONG_FIELD)
    try:
        return a2b_base64(value, strict_mode=True) if value else b""
    except (Error, ValueError):
        return Malformed(MalformedReason.WRONG_BASE64)


def encode_audio(audio: bytes) -> str:
    """Returns the bytes in base64."""
    return b2a_base64(audio, newline=False).decode("ascii")
