"""The messages of Twilio's Media Streams: writes those of Twilio, reads those of the server.

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

import base64
import binascii
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass

CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
_FIELDS = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}


@dataclass(frozen=True)
class Media:
    """Audio of the agent: mu-law, 8000 bytes a second, of any length."""

    audio: bytes


@dataclass(frozen=True)
class Mark:
    """A request to return this name when the audio before it has been played."""

    name: str


@dataclass(frozen=True)
class Clear:
    """A request to discard the audio that has not been played, and to return all pending marks."""


@dataclass(frozen=True)
class Invalid:
    """A message that Twilio ignores, with the error or warning that its debugger shows."""

    code: int
    reason: str


class StreamMessages:
    """Writes the messages of one stream, numbered; `sequenceNumber`, `chunk` and `timestamp` are strings."""

    def __init__(self, account_sid: str, call_sid: str, stream_sid: str) -> None:
        self._account_sid, self._call_sid, self._stream_sid = account_sid, call_sid, stream_sid
        self._sequence = itertools.count(1)
        self._chunk = itertools.count(1)

    def start(self, parameters: Mapping[str, str]) -> str:
        """Returns `start` with the parameters of the <Stream>."""
        start = {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(parameters),
        }
        return self._message("start", start)

    def media(self, audio: bytes, milliseconds: int) -> str:
        """Returns `media` with audio of the callee, `milliseconds` after the start."""
        payload = base64.b64encode(audio).decode()
        return (
            f'{{"event":"media","sequenceNumber":"{next(self._sequence)}","media":{{"track":"inbound",'
            f'"chunk":"{next(self._chunk)}","timestamp":"{milliseconds}","payload":"{payload}"}},'
            f'"streamSid":"{self._stream_sid}"}}'
        )

    def dtmf(self, key: str) -> str:
        """Returns `dtmf` for a key that the callee pressed."""
        return self._message("dtmf", {"track": "inbound_track", "digit": key})

    def mark(self, name: str) -> str:
        """Returns `mark`: the audio before it has been played or cleared."""
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        """Returns `stop`: the call has ended or continues elsewhere."""
        return self._message("stop", {"accountSid": self._account_sid, "callSid": self._call_sid})

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        sequence = str(next(self._sequence))
        return json.dumps({"event": event, "sequenceNumber": sequence, event: body, "streamSid": self._stream_sid})


def read(text: str, stream_sid: str) -> Media | Mark | Clear | Invalid:
    """Reads a text message of the server, strictly: a field that is not documented makes it invalid (31951)."""
    try:
        message = json.loads(text)
    except ValueError:
        return Invalid(31951, "message is not JSON")
    if not isinstance(message, dict):
        return Invalid(31951, "message is not an object")
    event = message.get("event")
    if event not in _FIELDS:
        return Invalid(31924, f"event {event!r} is not media, mark or clear")
    if unknown := message.keys() - _FIELDS[event]:
        return Invalid(31951, f"unknown fields {sorted(unknown)} in {event}")
    if message.get("streamSid") != stream_sid:
        return Invalid(31951, f"wrong streamSid in {event}")
    return _read_body(event, message.get(event))


def _read_body(event: str, body: object) -> Media | Mark | Clear | Invalid:
    if event == "clear":
        return Clear()
    field = "payload" if event == "media" else "name"
    if not isinstance(body, dict) or body.keys() != {field} or not isinstance(body[field], str):
        return Invalid(31951, f"{event} must have exactly one text: {field}")
    if event == "mark":
        return Mark(body[field])
    try:
        return Media(base64.b64decode(body[field], validate=True))
    except (binascii.Error, ValueError):
        return Invalid(31951, "payload is not base64")
