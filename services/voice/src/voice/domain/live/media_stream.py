"""Twilio's bidirectional Media Streams: messages to values and back (Twilio, "Media Streams: WebSocket messages").

Twilio sends the callee's audio as mu-law, 8,000 samples a second, about 20 ms a message. It plays the audio that it
receives in order. A mark returns when all audio before it has been played, or at once after a `clear`.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from voice.domain.live.vendor_messages import (
    Malformed,
    MalformedReason,
    decode_audio,
    encode_audio,
    object_of,
    parse_object,
    text_of,
)

MAX_MESSAGE_BYTES = 64 * 1024
FRAME_BYTES = 160
FRAME_SECONDS = 0.02
BYTES_PER_SECOND = 8000
MU_LAW_SILENCE = 0xFF
MAX_MALFORMED = 50
MALFORMED_WINDOW_SECONDS = 10.0
_MAX_TIMESTAMP_DIGITS = 15
_MU_LAW = "audio/x-mulaw"
_INBOUND = "inbound"


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message of a socket: the protocol and its version."""

    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class Started:
    """The stream begins. `parameters` are those of TwiML's `<Parameter>`."""

    stream_id: str
    call_sid: str
    parameters: Mapping[str, str]


class Frame(NamedTuple):
    """Audio of the callee: mu-law, 8 kHz, 8 bytes a millisecond, of any length. `timestamp_seconds` since the start.

    There are fifty of them a second in each call, and a tuple is made in a third of a frozen dataclass's time.
    """

    stream_id: str
    payload: bytes
    timestamp_seconds: float


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The callee pressed a key: one of `0`–`9`, `*`, `#`, `A`–`D`."""

    stream_id: str
    key: str


@dataclass(frozen=True, slots=True)
class MarkReturned:
    """A mark came back. That proves that the audio before it was played only if no `clear` was sent after the mark."""

    stream_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream ends: the line is closed, or the call has new instructions."""

    stream_id: str


MediaMessage = Connected | Started | Frame | KeyPressed | MarkReturned | Stopped | Malformed


def parse(text: str | bytes) -> MediaMessage:
    """Returns what Twilio said. Raises nothing. `text` is a text message: decoded, or its UTF-8 bytes."""
    message = parse_object(text, max_bytes=MAX_MESSAGE_BYTES)
    if isinstance(message, Malformed):
        return message
    event = message.get("event")
    if event == "connected":
        return Connected(text_of(message, "protocol") or "", text_of(message, "version") or "")
    stream_id = text_of(message, "streamSid")
    if stream_id is None:
        is_known = isinstance(event, str) and event in {"media", *_PARSERS}
        return Malformed(MalformedReason.WRONG_FIELD if is_known else MalformedReason.UNKNOWN_EVENT)
    if event == "media":
        return _parse_media(stream_id, object_of(message, "media"))
    parse_event = _PARSERS.get(event) if isinstance(event, str) else None
    return parse_event(stream_id, message) if parse_event else Malformed(MalformedReason.UNKNOWN_EVENT)


def media(stream_id: str, audio: bytes) -> str:
    """Returns the message that has `audio` played: mu-law, 8 kHz, of any length, at the end of what is buffered."""
    return f'{_media_prefix(stream_id)}{encode_audio(audio)}"}}}}'


def mark(stream_id: str, name: str) -> str:
    """Returns the message that asks for a mark to return when the audio before it has been played."""
    return json.dumps({"event": "mark", "streamSid": stream_id, "mark": {"name": name}})


def clear(stream_id: str) -> str:
    """Returns the message that discards the buffered audio. All pending marks return at once."""
    return json.dumps({"event": "clear", "streamSid": stream_id})


@dataclass(slots=True)
class FrameCutter:
    """Cuts audio of any length into frames of 20 ms (160 bytes). The rest waits for the next audio."""

    _rest: bytes = b""

    def feed(self, payload: bytes) -> list[bytes]:
        """Returns the frames that `payload` completes."""
        if self._rest:
            payload = self._rest + payload
        elif len(payload) == FRAME_BYTES:  # what Twilio sends
            return [payload]
        end = len(payload) - len(payload) % FRAME_BYTES
        self._rest = payload[end:]
        return [payload[start : start + FRAME_BYTES] for start in range(0, end, FRAME_BYTES)]


@dataclass(slots=True)
class MalformedCounter:
    """Counts the malformed messages of a socket: more than 50 in 10 seconds are too many (docs/live.md)."""

    total: int = 0
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_MALFORMED + 1))

    def add(self, now: float) -> bool:
        """Counts one, and returns whether the socket must be closed. `now` in seconds."""
        self.total += 1
        self._recent.append(now)
        return len(self._recent) > MAX_MALFORMED and now - self._recent[0] <= MALFORMED_WINDOW_SECONDS


def _parse_media(stream_id: str, audio: dict[str, object]) -> Frame | Malformed:
    payload = decode_audio(audio.get("payload"))
    if isinstance(payload, Malformed):
        return payload
    timestamp = audio.get("timestamp")
    if audio.get("track", _INBOUND) != _INBOUND or not isinstance(timestamp, str):
        return Malformed(MalformedReason.WRONG_FIELD)
    if not (timestamp.isdecimal() and len(timestamp) <= _MAX_TIMESTAMP_DIGITS):
        return Malformed(MalformedReason.WRONG_FIELD)
    return Frame(stream_id, payload, int(timestamp) / 1000)


def _parse_start(stream_id: str, message: dict[str, object]) -> Started | Malformed:
    start = object_of(message, "start")
    call_sid, parameters = text_of(start, "callSid"), object_of(start, "customParameters")
    if call_sid is None or text_of(start, "streamSid") not in {None, stream_id}:
        return Malformed(MalformedReason.WRONG_FIELD)
    texts = {name: value for name, value in parameters.items() if isinstance(value, str)}
    if len(texts) < len(parameters):
        return Malformed(MalformedReason.WRONG_FIELD)
    audio = object_of(start, "mediaFormat")
    if (audio.get("encoding"), audio.get("sampleRate"), audio.get("channels")) != (_MU_LAW, BYTES_PER_SECOND, 1):
        return Malformed(MalformedReason.WRONG_FORMAT)
    return Started(stream_id, call_sid, texts)


def _parse_key(stream_id: str, message: dict[str, object]) -> KeyPressed | Malformed:
    key = text_of(object_of(message, "dtmf"), "digit")
    is_key = key is not None and len(key) == 1 and key in "0123456789*#ABCD"
    return KeyPressed(stream_id, key) if key is not None and is_key else Malformed(MalformedReason.WRONG_FIELD)


def _parse_mark(stream_id: str, message: dict[str, object]) -> MarkReturned | Malformed:
    name = text_of(object_of(message, "mark"), "name")
    return Malformed(MalformedReason.WRONG_FIELD) if name is None else MarkReturned(stream_id, name)


def _parse_stop(stream_id: str, _message: dict[str, object]) -> Stopped:
    return Stopped(stream_id)


_PARSERS = {"start": _parse_start, "dtmf": _parse_key, "mark": _parse_mark, "stop": _parse_stop}


@lru_cache(maxsize=256)  # the streams of a process
def _media_prefix(stream_id: str) -> str:
    return f'{{"event":"media","streamSid":{json.dumps(stream_id)},"media":{{"payload":"'
